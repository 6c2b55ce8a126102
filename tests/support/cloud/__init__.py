"""The complete deployment on this machine: ministack as AWS, the sandbox as the vendor, and the deployed stack."""
