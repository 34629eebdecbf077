with

products as (

    select * from {{ ref('stg_products') }}

),

order_items as (

    select * from {{ ref('fct_order_items') }}

),

sales as (

    select
        product_id,
        cast(sum(quantity) as bigint) as units_sold,
        cast(sum(line_total) as decimal(18, 2)) as gross_revenue,
        cast(max(ordered_at) as timestamp) as last_sold_at
    from order_items
    where not is_cancelled and not is_order_missing
    group by product_id

),

-- a negative cost is no cost: a margin computed with it would be wrong, so there is none
costed as (

    select
        *,
        case when not is_cost_negative then cost end as usable_cost
    from products

),

final as (

    select
        ---------- ids
        costed.product_id,

        ---------- text
        costed.product_name,
        costed.category,
        costed.source_category,
        costed.subcategory,

        ---------- numerics
        costed.price,
        costed.cost,
        cast(costed.price - costed.usable_cost as decimal(12, 2)) as unit_margin,
        {{ ratio('(costed.price - costed.usable_cost)', 'costed.price') }} as margin_ratio,
        costed.weight_kg,
        coalesce(sales.units_sold, 0) as units_sold,
        cast(coalesce(sales.gross_revenue, 0) as decimal(18, 2)) as gross_revenue,
        cast(sales.gross_revenue - sales.units_sold * costed.usable_cost as decimal(18, 2))
            as gross_margin,

        ---------- booleans
        costed.is_active,
        costed.is_cost_missing,
        costed.is_cost_negative,
        costed.is_sold_below_cost,
        costed.is_price_suspicious,

        ---------- timestamps
        sales.last_sold_at,
        costed.created_at,
        costed.updated_at
    from costed
    left join sales
        on costed.product_id = sales.product_id

)

select * from final
