-- The versions of a customer leave no gap and do not overlap: each begins where the last one ends.
with

versions as (

    select
        customer_id,
        version_number,
        valid_from,
        valid_to,
        lead(valid_from) over (partition by customer_id order by version_number) as next_valid_from,
        lead(version_number) over (
            partition by customer_id order by version_number
        ) as next_version_number
    from {{ ref('dim_customers') }}

)

select *
from versions
where next_version_number is not null and valid_to is distinct from next_valid_from
