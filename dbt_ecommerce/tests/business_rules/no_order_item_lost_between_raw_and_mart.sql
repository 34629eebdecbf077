-- Every order line of the raw table that is not deleted is in the mart, with its total to the cent.
select
    raw_order_items.order_item_id,
    raw_order_items.line_total as raw_line_total,
    fct_order_items.line_total
from {{ source('postgres', 'raw_order_items') }} as raw_order_items
left join {{ ref('fct_order_items') }} as fct_order_items
    on raw_order_items.order_item_id = fct_order_items.order_item_id
where
    raw_order_items._deleted_at is null
    and raw_order_items._loaded_at <= {{ seen_by('fct_order_items') }}
    and (
        fct_order_items.order_item_id is null
        or raw_order_items.line_total <> fct_order_items.line_total
    )
