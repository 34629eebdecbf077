-- Every charge of the raw table that is not deleted is in the mart, with what it captured.
select
    raw_charges.charge_id,
    raw_charges.amount_captured,
    fct_payments.charge_amount_captured
from {{ source('stripe', 'raw_charges') }} as raw_charges
left join {{ ref('fct_payments') }} as fct_payments
    on raw_charges.charge_id = fct_payments.charge_id
where
    raw_charges._deleted_at is null
    and raw_charges._loaded_at <= {{ seen_by('fct_payments') }}
    and (
        fct_payments.charge_id is null
        or (
            raw_charges.status = 'succeeded'
            and coalesce(raw_charges.amount_captured, 0) <> fct_payments.charge_amount_captured
        )
    )
