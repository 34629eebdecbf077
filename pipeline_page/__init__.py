"""The page "Pipeline" inside Airflow's UI: days by sources, what needs somebody now, actions and
plots.
"""
