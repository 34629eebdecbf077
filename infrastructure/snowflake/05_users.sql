-- Service users, one per role. They sign in by key pair or token; Snowflake lets a user of this type have no password.
-- No secondary roles: a session has the rights of the one role it names.
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

grant role ${p}LOADER to user ${p}ECOMMERCE_LOADER;
grant role ${p}TRANSFORMER to user ${p}ECOMMERCE_TRANSFORMER;
grant role ${p}ANALYST to user ${p}ECOMMERCE_REPORTING;
