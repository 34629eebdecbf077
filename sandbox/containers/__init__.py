"""What docker-compose.yml starts besides Airflow's own commands: configuration, set-up, the demo
shop, the stand-ins.
"""
