{%- set known, joined, facts = as_built('int_charges_converted'), as_built('int_charges_joined'), as_built('fct_payments') -%}
{%- set known_refunds = as_built('int_refunds_matched') -%}
{%- set differs = is_out_of_step(known, source('stripe', 'raw_charges'), 'charge_id', changed_since('raw_charges'))
    or differ_in_keys(known, [joined, facts], 'charge_id') -%}
{%- set out_of_step = [(known, 'referenced_order_id'), (joined, 'referenced_order_id'), (facts, 'order_id')] if differs else [] %}

with

charges as (

    select * from {{ ref('stg_charges') }}

),

refunds as (

    select * from {{ ref('stg_refunds') }}

),

disputes as (

    select * from {{ ref('stg_disputes') }}

),


-- staging hides what was deleted; of refunds and disputes there is so little that all of it counts, each time. One that belongs
-- to another charge now has left the one before.
left_or_deleted as (
    select charge_id
    from {{ source('stripe', 'raw_refunds') }}
    where _deleted_at is not null
    union
    select charge_id
    from {{ source('stripe', 'raw_disputes') }}
    where _deleted_at is not null
    {%- if known_refunds %}
    union
    select charge_id
    from {{ known_refunds }}
    where
        refund_id not in (select refunds.refund_id from refunds)
        or refund_id in (
            select refunds.refund_id
            from refunds
            where {{ is_loaded_since('raw_refunds') }}
        )
    {%- endif %}
    {%- if joined %}
    union
    select joined.charge_id
    from {{ joined }} as joined
    where
        joined.dispute_count > 0
        and joined.dispute_count <> (
            select count(*)
            from disputes
            where disputes.charge_id = joined.charge_id
        )
    {%- endif %}

),

noticed as (

    select
        charge_id,
        order_id,
        true as is_charge_changed,
        false as is_lost
    from charges
    where {{ is_loaded_since('raw_charges') }}
    union
    select
        charge_id,
        cast(null as integer) as order_id,
        false as is_charge_changed,
        false as is_lost
    from refunds
    where {{ is_loaded_since('raw_refunds') }}
    union
    select
        charge_id,
        cast(null as integer) as order_id,
        false as is_charge_changed,
        false as is_lost
    from disputes
    where {{ is_loaded_since('raw_disputes') }}
    union
    select
        charge_id,
        cast(null as integer) as order_id,
        false as is_charge_changed,
        false as is_lost
    from left_or_deleted
    {%- for table, order_id in out_of_step if table %}
    union
    select
        charge_id,
        {{ order_id }} as order_id,
        true as is_charge_changed,
        false as is_lost
    from {{ table }}
    where charge_id not in (select charges.charge_id from charges)
    union
    select
        charge_id,
        order_id,
        true as is_charge_changed,
        true as is_lost
    from charges
    where charge_id not in (select known.charge_id from {{ table }} as known) and not ({{ is_loaded_since('raw_charges') }})
    {%- endfor %}

),

-- with the order that a charge names now, and the one it named
touched as (

    select
        charge_id,
        order_id,
        is_charge_changed,
        is_lost
    from noticed
    {%- if known %}
    union
    select
        known.charge_id,
        known.referenced_order_id as order_id,
        noticed.is_charge_changed,
        noticed.is_lost
    from {{ known }} as known
    inner join noticed
        on known.charge_id = noticed.charge_id
    {%- endif %}
    {{- noticed_before('charge_id, order_id, is_charge_changed, is_lost') }}

)

select
    charge_id,
    order_id,
    is_charge_changed,
    is_lost,
    {{ build_number() }} as build_number
from touched
where charge_id is not null
