-- Takes away everything the other files have made. Only for environments with a prefix.
use role ACCOUNTADMIN;

drop database if exists ${p}ECOMMERCE_RAW;
drop database if exists ${p}ECOMMERCE_STAGING;
drop database if exists ${p}ECOMMERCE_ANALYTICS;
drop user if exists ${p}ECOMMERCE_LOADER;
drop user if exists ${p}ECOMMERCE_TRANSFORMER;
drop user if exists ${p}ECOMMERCE_REPORTING;
drop warehouse if exists ${p}LOADING_WH;
drop warehouse if exists ${p}TRANSFORMING_WH;
drop warehouse if exists ${p}MARTS_WH;
drop warehouse if exists ${p}REPORTING_WH;
drop resource monitor if exists ${p}LOADING_BUDGET;
drop resource monitor if exists ${p}TRANSFORMING_BUDGET;
drop resource monitor if exists ${p}REPORTING_BUDGET;
drop network policy if exists ${p}ECOMMERCE_SERVICES;
drop role if exists ${p}ADMIN;
drop role if exists ${p}DEVELOPER;
drop role if exists ${p}ANALYST;
drop role if exists ${p}TRANSFORMER;
drop role if exists ${p}LOADER;
