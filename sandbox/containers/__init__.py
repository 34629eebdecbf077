"""What docker-compose.yml starts besides Airflow: configuration, set-up, demo shop, stand-ins."""
