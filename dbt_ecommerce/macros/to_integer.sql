{#-
    A text as an integer where it is nothing but digits, else null. A plain cast would round '12.7'
    and fail on 'n/a'.
-#}
{% macro to_integer(column) -%}
    case
        when translate(trim({{ column }}), '0123456789', '') = ''
            then try_cast(trim({{ column }}) as bigint)
    end
{%- endmacro %}
