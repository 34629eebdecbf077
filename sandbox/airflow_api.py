"""The client's old place, until nobody imports it from here any more."""

from operations.airflow_api import AirflowApi as AirflowApi
from operations.airflow_api import AirflowApiError as AirflowApiError
