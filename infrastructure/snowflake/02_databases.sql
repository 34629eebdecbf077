-- Databases, schemas, and for how many days Time Travel can bring back what was changed or dropped. Raw tables can be loaded
-- again, but not in the state of a past day; the history of customers cannot be built again at all. Everything else can. The Standard edition keeps one day at most, the Enterprise edition 90.
use role SYSADMIN;

create database if not exists ${p}ECOMMERCE_RAW comment = 'As the sources are, one row per key, and the load records.';
create database if not exists ${p}ECOMMERCE_STAGING comment = 'Views on the raw tables: renamed, cast, cleaned.';
create database if not exists ${p}ECOMMERCE_ANALYTICS comment = 'Intermediate models, marts, and what is published.';
alter database ${p}ECOMMERCE_RAW set data_retention_time_in_days = ${retention_days};
alter database ${p}ECOMMERCE_STAGING set data_retention_time_in_days = 0;
alter database ${p}ECOMMERCE_ANALYTICS set data_retention_time_in_days = 1;

create schema if not exists ${p}ECOMMERCE_RAW.POSTGRES;
create schema if not exists ${p}ECOMMERCE_RAW.STRIPE;
create schema if not exists ${p}ECOMMERCE_RAW.CSV_UPLOADS;
create schema if not exists ${p}ECOMMERCE_RAW.LOADS;
create schema if not exists ${p}ECOMMERCE_STAGING.SEEDS;
create schema if not exists ${p}ECOMMERCE_STAGING.STAGING;
create schema if not exists ${p}ECOMMERCE_ANALYTICS.INTERMEDIATE;
create schema if not exists ${p}ECOMMERCE_ANALYTICS.MARTS;
create schema if not exists ${p}ECOMMERCE_ANALYTICS.SNAPSHOTS;
create schema if not exists ${p}ECOMMERCE_ANALYTICS.TEST_FAILURES;
create schema if not exists ${p}ECOMMERCE_ANALYTICS.TRANSFORM;
alter schema ${p}ECOMMERCE_ANALYTICS.SNAPSHOTS set data_retention_time_in_days = ${retention_days};
