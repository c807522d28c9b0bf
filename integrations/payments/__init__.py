"""Payment providers: one file each, behind `groupbook.payments.ports.PaymentProvider`."""
