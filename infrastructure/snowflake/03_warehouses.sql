-- Virtual warehouses, each the smallest there is, asleep after a minute without work; and their monthly budgets in credits:
-- at 75 % somebody is told, at 90 % nothing new begins, at 100 % what runs is stopped. MARTS_WH is larger, and wakes only where
-- SNOWFLAKE_MARTS_WAREHOUSE names it; its credits come out of the budget for dbt.
use role ACCOUNTADMIN;

create resource monitor if not exists ${p}LOADING_BUDGET with credit_quota = ${loading_credits} frequency = monthly
    start_timestamp = immediately
    triggers on 75 percent do notify on 90 percent do suspend on 100 percent do suspend_immediate;
create resource monitor if not exists ${p}TRANSFORMING_BUDGET with credit_quota = ${transforming_credits} frequency = monthly
    start_timestamp = immediately
    triggers on 75 percent do notify on 90 percent do suspend on 100 percent do suspend_immediate;
create resource monitor if not exists ${p}REPORTING_BUDGET with credit_quota = ${reporting_credits} frequency = monthly
    start_timestamp = immediately
    triggers on 75 percent do notify on 90 percent do suspend on 100 percent do suspend_immediate;
alter resource monitor ${p}LOADING_BUDGET set credit_quota = ${loading_credits};
alter resource monitor ${p}TRANSFORMING_BUDGET set credit_quota = ${transforming_credits};
alter resource monitor ${p}REPORTING_BUDGET set credit_quota = ${reporting_credits};

use role SYSADMIN;

create warehouse if not exists ${p}LOADING_WH warehouse_size = xsmall auto_suspend = 60 auto_resume = true initially_suspended = true;
create warehouse if not exists ${p}TRANSFORMING_WH warehouse_size = xsmall auto_suspend = 60 auto_resume = true initially_suspended = true;
create warehouse if not exists ${p}MARTS_WH warehouse_size = medium auto_suspend = 60 auto_resume = true initially_suspended = true;
create warehouse if not exists ${p}REPORTING_WH warehouse_size = xsmall auto_suspend = 60 auto_resume = true initially_suspended = true;
alter warehouse ${p}LOADING_WH set auto_suspend = 60 auto_resume = true statement_timeout_in_seconds = 3600;
alter warehouse ${p}TRANSFORMING_WH set auto_suspend = 60 auto_resume = true statement_timeout_in_seconds = 3600;
alter warehouse ${p}MARTS_WH set auto_suspend = 60 auto_resume = true statement_timeout_in_seconds = 3600;
alter warehouse ${p}REPORTING_WH set auto_suspend = 60 auto_resume = true statement_timeout_in_seconds = 600;

use role ACCOUNTADMIN;

alter warehouse ${p}LOADING_WH set resource_monitor = ${p}LOADING_BUDGET;
alter warehouse ${p}TRANSFORMING_WH set resource_monitor = ${p}TRANSFORMING_BUDGET;
alter warehouse ${p}MARTS_WH set resource_monitor = ${p}TRANSFORMING_BUDGET;
alter warehouse ${p}REPORTING_WH set resource_monitor = ${p}REPORTING_BUDGET;
