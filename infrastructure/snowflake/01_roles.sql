-- Roles. LOADER writes raw tables, TRANSFORMER reads them and builds the marts, ANALYST reads what is published, ADMIN has all
-- three and looks after them. DEVELOPER is for people who try dbt (docs/working-on-marts.md). Nobody works as ACCOUNTADMIN from
-- day to day.
use role USERADMIN;

create role if not exists ${p}LOADER comment = 'Writes the raw tables and the load records.';
create role if not exists ${p}TRANSFORMER comment = 'dbt: reads raw tables, builds and publishes the marts.';
create role if not exists ${p}ANALYST comment = 'Reads published marts.';
create role if not exists ${p}DEVELOPER comment = 'Tries dbt in schemas of its own, beside those of the pipeline.';
create role if not exists ${p}ADMIN comment = 'Looks after the pipeline: has the rights of the other three.';

grant role ${p}LOADER to role ${p}ADMIN;
grant role ${p}TRANSFORMER to role ${p}ADMIN;
grant role ${p}ANALYST to role ${p}ADMIN;
grant role ${p}ADMIN to role SYSADMIN;
grant role ${p}DEVELOPER to role SYSADMIN;
