-- looks at this table as it was before
-- depends_on: {{ ref('int_changed_customers') }}
with

-- the one place that looks behind staging, which hides deleted rows: a deletion ends the customer's last version
customers as (

    select * from {{ source('postgres', 'raw_customers') }}

),

deletions as (

    select
        customer_id,
        _deleted_at as deleted_at
    from customers
    where _deleted_at is not null

)

select * from deletions
