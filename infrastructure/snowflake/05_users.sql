-- Service users, one per role. They sign in by key pair or token; Snowflake lets a user of this type have no password.
-- No secondary roles: a session has the rights of the one role it names.
--
-- dbt can set no session parameter, so the users carry them: a bare `timestamp` has no time zone, whatever the account says; a
-- time written as text (the key of a customer's version) has all its decimals; and a statement whose client was killed ends
-- after five minutes.
use role USERADMIN;

create user if not exists ${p}ECOMMERCE_LOADER type = service
    default_role = ${p}LOADER default_warehouse = ${p}LOADING_WH default_secondary_roles = ()
    comment = 'The loader of the e-commerce pipeline.';
create user if not exists ${p}ECOMMERCE_TRANSFORMER type = service
    default_role = ${p}TRANSFORMER default_warehouse = ${p}TRANSFORMING_WH default_secondary_roles = ()
    comment = 'dbt of the e-commerce pipeline.';
create user if not exists ${p}ECOMMERCE_REPORTING type = service
    default_role = ${p}ANALYST default_warehouse = ${p}REPORTING_WH default_secondary_roles = ()
    comment = 'Dashboards on the published marts.';

alter user ${p}ECOMMERCE_LOADER set timezone = 'UTC' timestamp_type_mapping = 'TIMESTAMP_NTZ'
    timestamp_ntz_output_format = 'YYYY-MM-DD HH24:MI:SS.FF9' abort_detached_query = true;
alter user ${p}ECOMMERCE_TRANSFORMER set timezone = 'UTC' timestamp_type_mapping = 'TIMESTAMP_NTZ'
    timestamp_ntz_output_format = 'YYYY-MM-DD HH24:MI:SS.FF9' abort_detached_query = true;
alter user ${p}ECOMMERCE_REPORTING set timezone = 'UTC' timestamp_type_mapping = 'TIMESTAMP_NTZ'
    timestamp_ntz_output_format = 'YYYY-MM-DD HH24:MI:SS.FF9' abort_detached_query = true;

grant role ${p}LOADER to user ${p}ECOMMERCE_LOADER;
grant role ${p}TRANSFORMER to user ${p}ECOMMERCE_TRANSFORMER;
grant role ${p}ANALYST to user ${p}ECOMMERCE_REPORTING;
