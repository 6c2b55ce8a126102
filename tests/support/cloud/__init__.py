"""The whole deployment on this machine: ministack as AWS, the sandbox as vendor, template.yaml built and deployed."""
