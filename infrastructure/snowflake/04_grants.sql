-- Rights: each role has what its work needs and nothing else. What a role creates it owns. Readers get published marts by the
-- publication itself, which grants select on each schema before it changes places with PUBLISHED.
use role SECURITYADMIN;

-- LOADER: the raw database, and nothing beside it.
grant usage on warehouse ${p}LOADING_WH to role ${p}LOADER;
grant usage on database ${p}ECOMMERCE_RAW to role ${p}LOADER;
grant usage, create table on schema ${p}ECOMMERCE_RAW.POSTGRES to role ${p}LOADER;
grant usage, create table on schema ${p}ECOMMERCE_RAW.STRIPE to role ${p}LOADER;
grant usage, create table on schema ${p}ECOMMERCE_RAW.CSV_UPLOADS to role ${p}LOADER;
grant usage, create table, create stage on schema ${p}ECOMMERCE_RAW.LOADS to role ${p}LOADER;

-- TRANSFORMER: reads raw tables, those of tomorrow too; builds everything behind them.
grant usage on warehouse ${p}TRANSFORMING_WH to role ${p}TRANSFORMER;
grant usage on warehouse ${p}MARTS_WH to role ${p}TRANSFORMER;
grant usage on database ${p}ECOMMERCE_RAW to role ${p}TRANSFORMER;
grant usage on all schemas in database ${p}ECOMMERCE_RAW to role ${p}TRANSFORMER;
grant usage on future schemas in database ${p}ECOMMERCE_RAW to role ${p}TRANSFORMER;
grant select on all tables in database ${p}ECOMMERCE_RAW to role ${p}TRANSFORMER;
grant select on future tables in database ${p}ECOMMERCE_RAW to role ${p}TRANSFORMER;
grant usage on database ${p}ECOMMERCE_STAGING to role ${p}TRANSFORMER;
grant usage, create table, create view on schema ${p}ECOMMERCE_STAGING.SEEDS to role ${p}TRANSFORMER;
grant usage, create table, create view on schema ${p}ECOMMERCE_STAGING.STAGING to role ${p}TRANSFORMER;
grant usage, create schema on database ${p}ECOMMERCE_ANALYTICS to role ${p}TRANSFORMER;
grant usage, create table, create view on schema ${p}ECOMMERCE_ANALYTICS.INTERMEDIATE to role ${p}TRANSFORMER;
grant usage, create table, create view on schema ${p}ECOMMERCE_ANALYTICS.MARTS to role ${p}TRANSFORMER;
grant usage, create table, create view on schema ${p}ECOMMERCE_ANALYTICS.SNAPSHOTS to role ${p}TRANSFORMER;
grant usage, create table, create view on schema ${p}ECOMMERCE_ANALYTICS.TEST_FAILURES to role ${p}TRANSFORMER;
grant usage, create table, create view on schema ${p}ECOMMERCE_ANALYTICS.TRANSFORM to role ${p}TRANSFORMER;

-- DEVELOPER: reads raw tables and makes schemas of its own beside the pipeline's, on which it has no right.
grant usage on warehouse ${p}TRANSFORMING_WH to role ${p}DEVELOPER;
grant usage on warehouse ${p}MARTS_WH to role ${p}DEVELOPER;
grant usage on database ${p}ECOMMERCE_RAW to role ${p}DEVELOPER;
grant usage on all schemas in database ${p}ECOMMERCE_RAW to role ${p}DEVELOPER;
grant usage on future schemas in database ${p}ECOMMERCE_RAW to role ${p}DEVELOPER;
grant select on all tables in database ${p}ECOMMERCE_RAW to role ${p}DEVELOPER;
grant select on future tables in database ${p}ECOMMERCE_RAW to role ${p}DEVELOPER;
grant usage, create schema on database ${p}ECOMMERCE_STAGING to role ${p}DEVELOPER;
grant usage, create schema on database ${p}ECOMMERCE_ANALYTICS to role ${p}DEVELOPER;

-- ANALYST: the door to the database; the schema PUBLISHED and its tables follow from the publication.
grant usage on warehouse ${p}REPORTING_WH to role ${p}ANALYST;
grant usage on database ${p}ECOMMERCE_ANALYTICS to role ${p}ANALYST;

-- ADMIN: looks after the warehouses.
grant monitor, operate on warehouse ${p}LOADING_WH to role ${p}ADMIN;
grant monitor, operate on warehouse ${p}TRANSFORMING_WH to role ${p}ADMIN;
grant monitor, operate on warehouse ${p}MARTS_WH to role ${p}ADMIN;
grant monitor, operate on warehouse ${p}REPORTING_WH to role ${p}ADMIN;

use role ACCOUNTADMIN;

-- What the monitoring queries read (costs, queries of the account). No row of the shop is in there.
grant database role SNOWFLAKE.USAGE_VIEWER to role ${p}ADMIN;
grant database role SNOWFLAKE.GOVERNANCE_VIEWER to role ${p}ADMIN;
