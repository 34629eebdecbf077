{#- Fails with each row for which the condition does not hold; unknown (null) fails too. -#}
{% test holds(model, condition, column_name=none) %}

select *
from {{ model }}
where not coalesce({{ condition }}, false)

{% endtest %}
