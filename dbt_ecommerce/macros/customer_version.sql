{#- Join condition: the version of the order's customer that held when the order was placed. -#}
{% macro is_version_of_order(versions, orders) -%}
    {{ orders }}.customer_id = {{ versions }}.customer_id
    and {{ orders }}.ordered_at >= {{ versions }}.valid_from
    and ({{ orders }}.ordered_at < {{ versions }}.valid_to or {{ versions }}.valid_to is null)
{%- endmacro %}

{#-
    Post-hook of fct_orders: a customer's new version may begin before orders that are there already and did not change. They
    are given its key; to build them again for that, the whole table would be read.
-#}
{% macro give_versions_to_their_orders(customers, changed_customers) -%}
    {%- if is_incremental() -%}
        update {{ this }}
        set customer_key = found.customer_key
        from (
            select
                known.order_id,
                versions.customer_key
            from {{ this }} as known
            left join {{ customers }} as versions
                on {{ is_version_of_order('versions', 'known') }}
            where
                known.customer_id in (select customer_id from {{ changed_customers }})
                and versions.customer_key is distinct from known.customer_key
        ) as found
        where {{ this.identifier }}.order_id = found.order_id
    {%- endif -%}
{%- endmacro %}
