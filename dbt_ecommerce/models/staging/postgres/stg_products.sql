with

products as (

    select * from {{ source('postgres', 'raw_products') }}
    where _deleted_at is null
    {{ newest_version(['product_id'], ['_loaded_at desc', 'updated_at desc nulls last']) }}

),

product_categories as (

    select * from {{ ref('product_categories') }}

),

normalised as (

    select
        ---------- ids
        products.product_id,

        ---------- text
        trim(products.name) as product_name,
        case
            when {{ clean_text('products.category') }} is null then 'Uncategorised'
            else coalesce(product_categories.category, 'Other')
        end as category,
        {{ clean_text('products.category') }} as source_category,
        {{ clean_text('products.subcategory') }} as subcategory,

        ---------- numerics
        products.price,
        products.cost,
        products.weight_kg,

        ---------- booleans
        coalesce(products.is_active, false) as is_active,
        products.cost is null as is_cost_missing,
        coalesce(products.cost < 0, false) as is_cost_negative,
        coalesce(products.cost > products.price, false) as is_sold_below_cost,
        products.price <= 0 as is_price_suspicious,

        ---------- timestamps
        products.created_at,
        products.updated_at,
        products._loaded_at
    from products
    left join product_categories
        on lower(trim(products.category)) = product_categories.source_category

)

select * from normalised
