{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='charge_id',
        on_schema_change='append_new_columns',
        post_hook="{{ delete_vanished('charge_id', ref('stg_charges')) }}",
    )
}}

with

charges as (

    select * from {{ ref('stg_charges') }}

),

orders as (

    select * from {{ ref('stg_orders') }}

),

currency_rates as (

    select * from {{ ref('currency_rates') }}

),

{% if is_incremental() %}

-- the keys alone are compared for all charges; the rest is read for those that changed or whose order did
state as (

    select
        charges.charge_id,
        orders.order_id,
        orders.total_amount as order_total_amount,
        orders.is_cancelled as is_order_cancelled,
        {{ newest_of(['charges._loaded_at', 'orders._loaded_at']) }} as _loaded_at
    from charges
    left join orders
        on charges.order_id = orders.order_id

),

changed as (

    select state.charge_id
    from state
    left join {{ this }} as known
        on state.charge_id = known.charge_id
    where
        {{ is_new_or_changed('state', 'known', 'charge_id', [
            '_loaded_at', 'order_id', 'order_total_amount', 'is_order_cancelled'
        ]) }}

),

{% endif %}

collected as (

    select
        *,
        case when status = 'succeeded' then amount_captured else 0 end as amount_collected
    from charges
    {% if is_incremental() %}
    where charge_id in (select changed.charge_id from changed)
    {% endif %}

),

converted as (

    select
        ---------- ids
        collected.charge_id,
        orders.order_id,
        collected.order_reference,
        collected.stripe_customer_id,
        collected.payment_intent_id,

        ---------- text
        collected.status,
        collected.currency,
        collected.failure_code,

        ---------- numerics, in the charge's currency
        collected.amount,
        collected.amount_collected,
        collected.amount_refunded as amount_refunded_by_charge,

        ---------- numerics, in the shop's currency
        currency_rates.rate_to_usd,
        {{ to_shop_currency('collected.amount_collected', 'currency_rates.rate_to_usd') }} as captured_amount,
        orders.total_amount as order_total_amount,

        ---------- booleans
        orders.is_cancelled as is_order_cancelled,
        collected.currency <> '{{ var("shop_currency") }}' as is_foreign_currency,
        currency_rates.rate_to_usd is null as is_rate_missing,

        ---------- timestamps
        collected.charge_date,
        collected.charged_at,
        {{ newest_of(['collected._loaded_at', 'orders._loaded_at']) }} as _loaded_at
    from collected
    left join orders
        on collected.order_id = orders.order_id
    left join currency_rates
        on
            collected.currency = currency_rates.currency
            and collected.charge_date between currency_rates.valid_from and currency_rates.valid_to

)

select * from converted
