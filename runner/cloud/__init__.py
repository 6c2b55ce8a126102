"""The deployment on AWS: what its functions do, and the commands of those who run it."""
