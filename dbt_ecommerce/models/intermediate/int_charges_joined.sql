with

charges as (

    select * from {{ ref('stg_charges') }}

),

orders as (

    select * from {{ ref('stg_orders') }}

),

refunds as (

    select * from {{ ref('int_refunds_matched') }}

),

disputes as (

    select * from {{ ref('stg_disputes') }}

),

currency_rates as (

    select * from {{ ref('currency_rates') }}

),

refunds_of_charge as (

    select
        charge_id,
        count(*) as refund_count,
        sum(case when is_succeeded then amount else 0 end) as amount_refunded,
        sum(case when is_succeeded then refunded_amount else 0 end) as refunded_amount,
        max(case when is_succeeded then refunded_at end) as last_refunded_at,
        max(_loaded_at) as _loaded_at
    from refunds
    where charge_id is not null
    group by charge_id

),

disputes_of_charge as (

    select
        charge_id,
        count(*) as dispute_count,
        sum(amount) as amount_disputed,
        sum(case when status = 'lost' then amount else 0 end) as amount_lost,
        max(case when status = 'open' then 1 else 0 end) = 1 as has_open_dispute,
        max(_loaded_at) as _loaded_at
    from disputes
    where charge_id is not null
    group by charge_id

),

joined as (

    select
        charges.*,
        orders.order_id as matched_order_id,
        orders.total_amount as order_total_amount,
        orders.is_cancelled as is_order_cancelled,
        case when charges.status = 'succeeded' then charges.amount_captured else 0 end as amount_collected,
        coalesce(refunds_of_charge.refund_count, 0) as refund_count,
        coalesce(refunds_of_charge.amount_refunded, 0) as amount_of_refunds,
        coalesce(refunds_of_charge.refunded_amount, 0) as refunded_amount,
        refunds_of_charge.last_refunded_at,
        coalesce(disputes_of_charge.dispute_count, 0) as dispute_count,
        coalesce(disputes_of_charge.amount_disputed, 0) as amount_disputed,
        coalesce(disputes_of_charge.amount_lost, 0) as amount_lost,
        coalesce(disputes_of_charge.has_open_dispute, false) as has_open_dispute,
        currency_rates.rate_to_usd,
        {{ newest_of(['charges._loaded_at', 'orders._loaded_at', 'refunds_of_charge._loaded_at', 'disputes_of_charge._loaded_at']) }}
            as _newest_loaded_at
    from charges
    left join orders
        on charges.order_id = orders.order_id
    left join refunds_of_charge
        on charges.charge_id = refunds_of_charge.charge_id
    left join disputes_of_charge
        on charges.charge_id = disputes_of_charge.charge_id
    left join currency_rates
        on
            charges.currency = currency_rates.currency
            and charges.charge_date between currency_rates.valid_from and currency_rates.valid_to

),

converted as (

    select
        ---------- ids
        charge_id,
        matched_order_id as order_id,
        order_reference,
        stripe_customer_id,
        payment_intent_id,

        ---------- text
        status,
        currency,
        payment_method,
        card_brand,
        failure_code,

        ---------- numerics, in the charge's currency
        amount,
        amount_collected,
        amount_of_refunds as amount_refunded,
        amount_refunded as amount_refunded_by_charge,

        ---------- numerics, in the shop's currency
        {{ to_shop_currency('amount_collected', 'rate_to_usd') }} as captured_amount,
        cast(refunded_amount as decimal(18, 2)) as refunded_amount,
        {{ to_shop_currency('amount_disputed', 'rate_to_usd') }} as disputed_amount,
        {{ to_shop_currency('amount_lost', 'rate_to_usd') }} as lost_amount,
        order_total_amount,
        refund_count,
        dispute_count,

        ---------- booleans
        is_order_cancelled,
        has_open_dispute,
        currency <> '{{ var("shop_currency") }}' as is_foreign_currency,
        rate_to_usd is null as is_rate_missing,

        ---------- timestamps
        charge_date,
        charged_at,
        last_refunded_at,
        _newest_loaded_at as _loaded_at
    from joined

)

select * from converted
