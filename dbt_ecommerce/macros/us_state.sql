{#-
    The two-letter code of a US state, whether the source wrote 'CA', 'ca' or 'California'. States
    of other countries stay as they are ('CA' of Canada is no California). Needs the seed us_states
    joined as `by_code` and as `by_name`.
-#}
{% macro us_state(source_state, source_country, country_code) -%}
    case
        when {{ country_code }} = 'US' or {{ source_country }} is null
            then coalesce(by_code.state_code, by_name.state_code, {{ source_state }})
        else {{ source_state }}
    end
{%- endmacro %}
