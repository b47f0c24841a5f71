"""What classifier and regressor share: parameters, fits, explanations, the card."""
