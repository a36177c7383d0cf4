//! Who plays in the demo: the made-up customers' webhooks, what happens, and how each receiver answers, in
//! the past that [`super::past`] writes as well as live.
//!
//! The answers are a function of how long ago something happened and of dice with a seed, so that the same
//! moment has the same past. One webhook is going bad, one was switched off, one stumbles, two are well.

/// Numbers that look random and are the same every time (xorshift64*).
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

    /// `from..to`, in whole numbers.
    pub(super) fn between(&mut self, from: u32, to: u32) -> u32 {
        from + (self.unit() * f64::from(to - from)) as u32
    }
}

/// A webhook of the past. Its host is known to the demo alone, which leads it to the demo's receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Always well, and fast.
    Shop,
    /// Stumbles now and then; a retry helps.
    Billing,
    /// Was well until some hours ago.
    Crm,
    /// Stopped answering days ago, and was switched off.
    Erp,
    /// Takes everything; slow, but sure.
    Warehouse,
}

impl Part {
    pub(super) const ALL: [Part; 5] = [Part::Shop, Part::Billing, Part::Crm, Part::Erp, Part::Warehouse];

    pub(super) fn name(self) -> &'static str {
        match self {
            Part::Shop => "Storefront",
            Part::Billing => "Billing",
            Part::Crm => "CRM sync",
            Part::Erp => "Legacy ERP",
            Part::Warehouse => "Data warehouse",
        }
    }

    pub(super) fn host(self) -> &'static str {
        match self {
            Part::Shop => "shop.example",
            Part::Billing => "billing.example",
            Part::Crm => "crm.example",
            Part::Erp => "erp.example",
            Part::Warehouse => "warehouse.example",
        }
    }

    pub(super) fn path(self) -> &'static str {
        match self {
            Part::Shop => "/hooks/orders",
            Part::Billing => "/postrider",
            Part::Crm => "/v2/inbound",
            Part::Erp => "/soap/notify",
            Part::Warehouse => "/ingest/webhooks",
        }
    }

    pub(super) fn patterns(self) -> &'static [&'static str] {
        match self {
            Part::Shop => &["order.*"],
            Part::Billing => &["invoice.*", "payment.refunded"],
            Part::Crm => &["customer.*"],
            Part::Erp => &["order.created"],
            Part::Warehouse => &["*"],
        }
    }

    /// How it answered an attempt so many milliseconds ago.
    pub(super) fn answered(self, ago_ms: i64, attempt: u32, dice: &mut Dice) -> Answer {
        let chance = dice.unit();
        let well = |took_ms| Answer { status: Some(200), took_ms, body: RECEIVED };
        match self {
            Part::Shop => well(dice.between(28, 140)),
            Part::Billing if attempt == 1 && chance < 0.08 => {
                Answer { status: Some(503), took_ms: dice.between(20, 60), body: BUSY }
            }
            Part::Billing => well(dice.between(60, 260)),
            Part::Crm if ago_ms < ALL_BAD_MS || (ago_ms < HALF_BAD_MS && chance < 0.65) => {
                Answer { status: Some(500), took_ms: dice.between(300, 1_900), body: TRACE }
            }
            Part::Crm => well(dice.between(110, 420)),
            Part::Erp if ago_ms < GONE_MS => Answer { status: None, took_ms: 10_000, body: "" },
            Part::Erp => well(dice.between(700, 2_400)),
            Part::Warehouse if attempt == 1 && chance < 0.01 => {
                Answer { status: Some(502), took_ms: dice.between(5, 30), body: "Bad Gateway" }
            }
            Part::Warehouse => well(dice.between(180, 900)),
        }
    }
}

/// What a receiver answered; no status when it did not in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) status: Option<u16>,
    pub(super) took_ms: u32,
    pub(super) body: &'static str,
}

const HOUR_MS: i64 = 3_600_000;
/// Since when the CRM fails at times, and since when always.
const HALF_BAD_MS: i64 = 20 * HOUR_MS;
const ALL_BAD_MS: i64 = HOUR_MS * 3 / 4;
/// Since when the ERP does not answer.
const GONE_MS: i64 = 52 * HOUR_MS;

const RECEIVED: &str = r#"{"received":true}"#;
const BUSY: &str = r#"{"error":"busy","retry":true}"#;
/// What the CRM answers when it fails.
pub(super) const TRACE: &str = r#"{"error":"TypeError","message":"Cannot read properties of undefined (reading 'email')","at":"upsert (/srv/crm/contacts.js:41:13)"}"#;

/// Something that happened: its type, what it is about, and its payload.
pub(super) type Happening = (&'static str, String, String);

/// Something of what happens every day.
pub(super) fn happening(dice: &mut Dice) -> Happening {
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
        _ => customer(dice),
    }
}

/// How long ago the last customers were made, in milliseconds: the first has failed for good by now, the others
/// are still being retried.
pub(super) const LATELY_MS: [i64; 3] = [41 * 60_000, 22 * 60_000, 9 * 60_000];

/// A customer is made.
pub(super) fn customer(dice: &mut Dice) -> Happening {
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
