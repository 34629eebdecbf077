-- Each customer that the source has is current in exactly one version; a deleted one in none.
with

current_versions as (

    select
        customer_id,
        count(*) as version_count
    from {{ ref('dim_customers') }}
    where is_current
    group by customer_id

),

customers as (

    select customer_id
    from {{ source('postgres', 'raw_customers') }}
    where _deleted_at is null and _loaded_at <= {{ seen_by('dim_customers') }}

)

select
    coalesce(customers.customer_id, current_versions.customer_id) as customer_id,
    coalesce(current_versions.version_count, 0) as version_count
from customers
left join current_versions
    on customers.customer_id = current_versions.customer_id
where coalesce(current_versions.version_count, 0) <> 1
