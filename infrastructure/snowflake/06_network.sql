-- From where the service users may sign in. Applied only with --allow-ip: an empty list would lock them out.
use role SECURITYADMIN;

create network policy if not exists ${p}ECOMMERCE_SERVICES allowed_ip_list = (${allowed_ips});
alter network policy ${p}ECOMMERCE_SERVICES set allowed_ip_list = (${allowed_ips});
alter user ${p}ECOMMERCE_LOADER set network_policy = ${p}ECOMMERCE_SERVICES;
alter user ${p}ECOMMERCE_TRANSFORMER set network_policy = ${p}ECOMMERCE_SERVICES;
alter user ${p}ECOMMERCE_REPORTING set network_policy = ${p}ECOMMERCE_SERVICES;
