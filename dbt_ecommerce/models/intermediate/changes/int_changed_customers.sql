{%- set known = as_built('int_customer_profiles') -%}
{%- set raw = source('postgres', 'raw_customers') -%}
{%- set deletions = as_built('int_customer_deletions') -%}
{%- set history, dimension = as_built('customer_history', 'snapshot'), as_built('dim_customers') -%}
{%- set differs = is_out_of_step(known, raw, 'customer_id', changed_since('raw_customers')) -%}
{%- set versions_differ = differ_in_versions(dimension, history, [known, deletions]) %}

with

customers as (

    select * from {{ ref('stg_customers') }}

),

touched_orders as (

    select * from {{ ref('int_touched_orders') }}

),

loaded as (

    select
        customer_id,
        email
    from customers
    where {{ is_loaded_since('raw_customers') }}

),

touched as (

    select customer_id from loaded
    union
    select customer_id
    from touched_orders
    where customer_id is not null
    {%- if differs %}
    union
    select customer_id
    from {{ known }}
    where customer_id not in (select customers.customer_id from customers)
    union
    select customer_id
    from customers
    where customer_id not in (select known.customer_id from {{ known }} as known)
    {%- endif %}
    {%- if versions_differ %}
    union
    select customer_id
    from customers
    where customer_id not in (select versions.customer_id from {{ dimension }} as versions)
    union
    select customer_id
    from {{ history }}
    where dbt_scd_id not in (select versions.customer_key from {{ dimension }} as versions)
    union
    select customer_id
    from {{ dimension }}
    where customer_key not in (select versions.dbt_scd_id from {{ history }} as versions)
    {%- endif %}
    {%- if deletions %}
    union
    select customer_id
    from {{ deletions }}
    where
        customer_id not in (
            select marked.customer_id
            from {{ raw }} as marked
            where marked._deleted_at is not null
        )
    union
    select marked.customer_id
    from {{ raw }} as marked
    left join {{ deletions }} as known
        on marked.customer_id = known.customer_id
    where marked._deleted_at is not null and (known.deleted_at is null or known.deleted_at <> marked._deleted_at)
    {%- endif %}

),

-- every customer with the e-mail that it has now, and the one it had
known_emails as (

    select
        customer_id,
        email
    from {{ 'customers' if differs or versions_differ else 'loaded' }}
    {%- if known and not builds_everything() %}
    union all
    select
        customer_id,
        email
    from {{ known }}
    {%- endif %}

),

touched_emails as (

    select email
    from known_emails
    where customer_id in (select touched.customer_id from touched)

),

-- accounts that share an e-mail are likely one person: what changes one of them changes the others
changed as (

    select customer_id from touched
    union
    select customer_id
    from known_emails
    where email in (select touched_emails.email from touched_emails)
    {{- noticed_before('customer_id') }}

)

select
    customer_id,
    {{ build_number() }} as build_number
from changed
