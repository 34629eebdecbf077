{{ config(unique_key='charge_id') }}

with

charges as (

    select * from {{ ref('int_charges_converted') }}

),

orders as (

    select * from {{ ref('int_orders_cleaned') }}

),

refunds as (

    select * from {{ ref('int_refunds_matched') }}

),

disputes as (

    select * from {{ ref('int_disputes_cleaned') }}
    where not is_deleted

),

currency_rates as (

    select * from {{ ref('currency_rates') }}

),

wanted as (

    select * from charges
    {{ where_changed('charge_id') }}

),

orders_of_wanted as (

    select
        order_id,
        total_amount,
        is_cancelled,
        _loaded_at
    from orders
    where not is_deleted and order_id in (select wanted.referenced_order_id from wanted)

),

refunds_of_charge as (

    select
        charge_id,
        cast(sum(case when is_release then 0 else 1 end) as bigint) as refund_count,
        sum(case when is_succeeded then amount else 0 end) as amount_refunded_or_released,
        sum(amount_given_back) as amount_refunded,
        sum(refunded_amount) as refunded_amount,
        sum(revenue_refund_amount) as revenue_refund_amount,
        max(case when amount_given_back > 0 then refunded_at end) as last_refunded_at,
        max(_loaded_at) as _loaded_at
    from refunds
    where charge_id in (select wanted.charge_id from wanted)
    group by charge_id

),

-- a dispute need not be in its charge's currency; as a refund, it is converted at the rate of its
-- charge's day
converted_disputes as (

    select
        disputes.charge_id,
        disputes.status,
        {{ to_shop_currency('disputes.amount', 'currency_rates.rate_to_usd') }} as disputed_amount,
        disputes._loaded_at
    from disputes
    inner join wanted
        on disputes.charge_id = wanted.charge_id and not wanted.is_deleted
    left join currency_rates
        on
            disputes.currency = currency_rates.currency
            and wanted.charge_date between currency_rates.valid_from and currency_rates.valid_to

),

disputes_of_charge as (

    select
        charge_id,
        count(*) as dispute_count,
        case when count(disputed_amount) = count(*) then sum(disputed_amount) end
            as disputed_amount,
        case
            when max(case when status = 'lost' and disputed_amount is null then 1 else 0 end) = 0
                then sum(case when status = 'lost' then disputed_amount else 0 end)
        end as lost_amount,
        max(case when status = 'open' then 1 else 0 end) = 1 as has_open_dispute,
        max(_loaded_at) as _loaded_at
    from converted_disputes
    group by charge_id

),

joined as (

    select
        ---------- ids
        wanted.charge_id,
        orders_of_wanted.order_id,
        wanted.referenced_order_id,
        wanted.order_reference,
        wanted.stripe_customer_id,
        wanted.payment_intent_id,

        ---------- text
        wanted.status,
        wanted.currency,
        wanted.failure_code,

        ---------- numerics, in the charge's currency
        wanted.amount,
        wanted.amount_collected,
        coalesce(refunds_of_charge.amount_refunded, 0) as amount_refunded,
        coalesce(refunds_of_charge.amount_refunded_or_released, 0) as amount_refunded_or_released,
        wanted.amount_refunded_by_charge,

        ---------- numerics, in the shop's currency
        wanted.captured_amount,
        cast(coalesce(refunds_of_charge.refunded_amount, 0) as decimal(18, 2)) as refunded_amount,
        cast(coalesce(refunds_of_charge.revenue_refund_amount, 0) as decimal(18, 2))
            as revenue_refund_amount,
        cast(
            case
                when disputes_of_charge.charge_id is null then 0
                else disputes_of_charge.disputed_amount
            end as decimal(18, 2)
        ) as disputed_amount,
        cast(
            case
                when disputes_of_charge.charge_id is null then 0
                when disputes_of_charge.lost_amount > wanted.captured_amount
                    then wanted.captured_amount
                else disputes_of_charge.lost_amount
            end as decimal(18, 2)
        ) as lost_amount,
        orders_of_wanted.total_amount as order_total_amount,
        coalesce(refunds_of_charge.refund_count, 0) as refund_count,
        coalesce(disputes_of_charge.dispute_count, 0) as dispute_count,

        ---------- booleans
        orders_of_wanted.is_cancelled as is_order_cancelled,
        coalesce(disputes_of_charge.has_open_dispute, false) as has_open_dispute,
        wanted.is_foreign_currency,
        wanted.is_rate_missing,

        ---------- timestamps
        wanted.charge_date,
        wanted.charged_at,
        refunds_of_charge.last_refunded_at,
        {{ newest_of([
            'wanted._loaded_at',
            'orders_of_wanted._loaded_at',
            'refunds_of_charge._loaded_at',
            'disputes_of_charge._loaded_at',
        ]) }} as _loaded_at
    from wanted
    left join orders_of_wanted
        on wanted.referenced_order_id = orders_of_wanted.order_id
    left join refunds_of_charge
        on wanted.charge_id = refunds_of_charge.charge_id
    left join disputes_of_charge
        on wanted.charge_id = disputes_of_charge.charge_id
    where not wanted.is_deleted

)

select * from joined
