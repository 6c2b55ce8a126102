"""AWS Lambda functions over the runner."""
