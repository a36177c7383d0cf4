//! Sample data of the demo: webhooks, events, and how each receiver responds, both in the history that
//! [`super::history`] writes and live.
//!
//! Responses are a function of the age of an event and of seeded random numbers, so that the same moment has
//! the same history. One webhook is failing, one is disabled, one fails at times, two are healthy.

/// Seeded pseudo-random numbers (xorshift64*).
pub(super) struct Dice(u64);

impl Dice {
    /// `seed` is not 0.
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// `0.0..1.0`
    pub(super) fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as f64 / f64::from(1 << 24)
    }

    /// A whole number of `from..to`.
    pub(super) fn between(&mut self, from: u32, to: u32) -> u32 {
        from + (self.unit() * f64::from(to - from)) as u32
    }
}

/// A webhook of the history. Only the demo knows its host, and resolves it to the demo's receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SampleWebhook {
    /// Always healthy and fast.
    Shop,
    /// Fails at times; a retry succeeds.
    Billing,
    /// Was healthy until some hours ago.
    Crm,
    /// Has timed out for days and is disabled.
    Erp,
    /// Receives all event types; slow but reliable.
    Warehouse,
}

impl SampleWebhook {
    pub(super) const ALL: [SampleWebhook; 5] = [
        SampleWebhook::Shop,
        SampleWebhook::Billing,
        SampleWebhook::Crm,
        SampleWebhook::Erp,
        SampleWebhook::Warehouse,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            SampleWebhook::Shop => "Storefront",
            SampleWebhook::Billing => "Billing",
            SampleWebhook::Crm => "CRM sync",
            SampleWebhook::Erp => "Legacy ERP",
            SampleWebhook::Warehouse => "Data warehouse",
        }
    }

    pub(super) fn host(self) -> &'static str {
        match self {
            SampleWebhook::Shop => "shop.example",
            SampleWebhook::Billing => "billing.example",
            SampleWebhook::Crm => "crm.example",
            SampleWebhook::Erp => "erp.example",
            SampleWebhook::Warehouse => "warehouse.example",
        }
    }

    pub(super) fn path(self) -> &'static str {
        match self {
            SampleWebhook::Shop => "/hooks/orders",
            SampleWebhook::Billing => "/postrider",
            SampleWebhook::Crm => "/v2/inbound",
            SampleWebhook::Erp => "/soap/notify",
            SampleWebhook::Warehouse => "/ingest/webhooks",
        }
    }

    pub(super) fn patterns(self) -> &'static [&'static str] {
        match self {
            SampleWebhook::Shop => &["order.*"],
            SampleWebhook::Billing => &["invoice.*", "payment.refunded"],
            SampleWebhook::Crm => &["customer.*"],
            SampleWebhook::Erp => &["order.created"],
            SampleWebhook::Warehouse => &["*"],
        }
    }

    /// The response to an attempt that was sent `ago_ms` milliseconds ago.
    pub(super) fn respond(self, ago_ms: i64, attempt: u32, dice: &mut Dice) -> SampleResponse {
        let chance = dice.unit();
        let ok = |took_ms| SampleResponse { status: Some(200), took_ms, body: RECEIVED };
        match self {
            SampleWebhook::Shop => ok(dice.between(28, 140)),
            SampleWebhook::Billing if attempt == 1 && chance < 0.08 => {
                SampleResponse { status: Some(503), took_ms: dice.between(20, 60), body: BUSY }
            }
            SampleWebhook::Billing => ok(dice.between(60, 260)),
            SampleWebhook::Crm if ago_ms < CRM_DOWN_MS || (ago_ms < CRM_UNSTABLE_MS && chance < 0.65) => {
                SampleResponse { status: Some(500), took_ms: dice.between(300, 1_900), body: TRACE }
            }
            SampleWebhook::Crm => ok(dice.between(110, 420)),
            SampleWebhook::Erp if ago_ms < ERP_DOWN_MS => {
                SampleResponse { status: None, took_ms: 10_000, body: "" }
            }
            SampleWebhook::Erp => ok(dice.between(700, 2_400)),
            SampleWebhook::Warehouse if attempt == 1 && chance < 0.01 => {
                SampleResponse { status: Some(502), took_ms: dice.between(5, 30), body: "Bad Gateway" }
            }
            SampleWebhook::Warehouse => ok(dice.between(180, 900)),
        }
    }
}

/// The response of a receiver; no status means a timeout.
#[derive(Debug, Clone, Copy)]
pub(super) struct SampleResponse {
    pub(super) status: Option<u16>,
    pub(super) took_ms: u32,
    pub(super) body: &'static str,
}

const HOUR_MS: i64 = 3_600_000;
/// The CRM fails at times since, and always since.
const CRM_UNSTABLE_MS: i64 = 20 * HOUR_MS;
const CRM_DOWN_MS: i64 = HOUR_MS * 3 / 4;
/// The ERP times out since.
const ERP_DOWN_MS: i64 = 52 * HOUR_MS;

const RECEIVED: &str = r#"{"received":true}"#;
const BUSY: &str = r#"{"error":"busy","retry":true}"#;
/// The response of the CRM when it fails.
pub(super) const TRACE: &str = r#"{"error":"TypeError","message":"Cannot read properties of undefined (reading 'email')","at":"upsert (/srv/crm/contacts.js:41:13)"}"#;

/// An event: type, resource id and payload.
pub(super) type SampleEvent = (&'static str, String, String);

/// A random event of a daily routine.
pub(super) fn daily_event(dice: &mut Dice) -> SampleEvent {
    let number = dice.between(1_000, 9_999);
    let cents = dice.between(4, 900) * 100 + 99;
    let (who, email) = PEOPLE[dice.between(0, PEOPLE.len() as u32) as usize];
    match dice.between(0, 12) {
        0..4 => (
            "order.created",
            format!("SO-{number}"),
            format!(
                r#"{{"order":"SO-{number}","customer":"{email}","lines":{},"total_cents":{cents},"currency":"EUR"}}"#,
                1 + number % 5
            ),
        ),
        4..6 => (
            "order.shipped",
            format!("SO-{number}"),
            format!(r#"{{"order":"SO-{number}","carrier":"DHL","tracking":"JD0{number}{cents}"}}"#),
        ),
        6..8 => (
            "invoice.paid",
            format!("INV-{number}"),
            format!(
                r#"{{"invoice":"INV-{number}","amount_cents":{cents},"currency":"EUR","paid_by":"{email}"}}"#
            ),
        ),
        8 => (
            "payment.refunded",
            format!("INV-{number}"),
            format!(r#"{{"invoice":"INV-{number}","amount_cents":{cents},"reason":"returned"}}"#),
        ),
        9 | 10 => (
            "customer.updated",
            format!("C-{number}"),
            format!(r#"{{"customer":"C-{number}","name":"{who}","email":"{email}"}}"#),
        ),
        _ => customer_created(dice),
    }
}

/// Age of the latest `customer.created` events, in milliseconds: the first has no retries left, the others
/// are still being retried.
pub(super) const RECENT_CUSTOMERS_MS: [i64; 3] = [41 * 60_000, 22 * 60_000, 9 * 60_000];

/// A `customer.created` event.
pub(super) fn customer_created(dice: &mut Dice) -> SampleEvent {
    let number = dice.between(1_000, 9_999);
    let (who, email) = PEOPLE[dice.between(0, PEOPLE.len() as u32) as usize];
    (
        "customer.created",
        format!("C-{number}"),
        format!(r#"{{"customer":"C-{number}","name":"{who}","email":"{email}"}}"#),
    )
}

const PEOPLE: [(&str, &str); 5] = [
    ("Ada Lovelace", "ada@example.com"),
    ("Grace Hopper", "grace@example.com"),
    ("Analytical Engines Ltd", "accounts@engines.example"),
    ("Babbage & Daughters", "orders@babbage.example"),
    ("Hedy Lamarr", "hedy@example.com"),
];
