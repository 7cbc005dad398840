"""The service over HTTP: signatures checked, requests bounded, answers by the handler that boto3 in process has too."""
