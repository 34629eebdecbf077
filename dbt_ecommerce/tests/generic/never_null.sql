{#- Fails with each row without a value in one of the columns: one scan, not a test for each. -#}
{% test never_null(model, columns) %}

select *
from {{ model }}
where {{ columns | join(' is null or ') }} is null

{% endtest %}
