{{ config(materialized='table') }}

with

customers as (

    select * from {{ ref('int_customers_cleaned') }}

),

-- the oldest account stands for the person; what is no address, or very many give, is nobody's
shared as (

    select
        email,
        min(customer_id) as primary_customer_id,
        cast(count(*) as bigint) as account_count
    from customers
    where not is_deleted and not is_email_malformed
    group by email
    having count(*) between 2 and {{ var('most_accounts_of_a_person') }}

)

select * from shared
