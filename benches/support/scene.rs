//! People whom the law allows to call at any hour, and the question about them: residents of Sydney who were given notice,
//! stand on no register and consented in writing to calls out of hours.

use std::time::Duration;

use dialgate::clock::Clock;
use dialgate::domain::call::{CallKind, CallRequest, Purpose, SellerType};
use dialgate::domain::campaign::{CallerId, Campaign};
use dialgate::domain::consent::{ConsentAction, ConsentEvent, ConsentForm, InitiatedBy};
use dialgate::domain::ids::{ConsentEventId, PartyId, RequestId, TenantId};
use dialgate::domain::party::{
    Audience, Dealings, LineType, Location, Notice, PartyNumber, Profile, RegisterCheck,
};
use dialgate::domain::phone::Phone;
use dialgate::domain::route::Dialing;
use dialgate::domain::time::Micros;
use dialgate::policy::facts::{CallFacts, CallerIdFacts, Case, Consent, Facts};
use dialgate::store::{PartyDraft, Store, Urgency};

pub const SELLER: &str = "acme";
pub const CAMPAIGN: &str = "sydney";
pub const TRUNK: &str = "carrier";
pub const CALLER_ID: &str = "+61255509901";
pub const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The number of one of the people.
pub fn number(index: u32) -> String {
    format!("+612555{index:05}")
}

pub fn wall() -> Micros {
    Clock::Real.read().wall
}

/// Yesterday in UTC: past in Sydney too.
fn yesterday() -> jiff::civil::Date {
    let at = wall().minus(DAY).timestamp();
    at.to_zoned(jiff::tz::TimeZone::UTC).date()
}

pub fn profile() -> Profile {
    Profile {
        audience: Some(Audience::Consumer),
        location: Some(Location {
            country: Some("AU".to_owned()),
            ..Location::default()
        }),
        dealings: [(SELLER.to_owned(), dealings())].into(),
        ..Profile::default()
    }
}

fn dealings() -> Dealings {
    Dealings {
        notice: Some(Notice {
            version: "n-1".to_owned(),
        }),
        ..Dealings::default()
    }
}

pub fn register() -> RegisterCheck {
    RegisterCheck {
        register: "au-dncr".to_owned(),
        listed: Some(false),
        as_of: yesterday(),
        listed_since: None,
        snapshot: None,
    }
}

/// Puts so many people on record, each with a number and a consent.
pub async fn introduce(store: &Store, people: u32) {
    let tenant = TenantId::default();
    let at = wall();
    for first in (0..people).step_by(1_000) {
        let mut tx = store.write(Urgency::Ordinary).await.unwrap();
        for index in first..people.min(first + 1_000) {
            let phone = Phone::parse(&number(index)).unwrap();
            let party_id = PartyId::new(at);
            let draft = PartyDraft {
                party_id,
                profile: profile(),
                numbers: vec![PartyNumber {
                    number: phone,
                    line_type: LineType::Landline,
                    registers: vec![register()],
                    reassigned_check: None,
                }],
            };
            tx.upsert_party(&tenant, &draft, at).await.unwrap();
            let consent = consent(party_id, phone, at);
            tx.insert_consent(&tenant, &consent).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
}

fn consent(party_id: PartyId, number: Phone, at: Micros) -> ConsentEvent {
    ConsentEvent {
        consent_event_id: ConsentEventId::new(at),
        party_id,
        number,
        seller: SELLER.to_owned(),
        action: ConsentAction::Given,
        at: at.minus(10 * DAY),
        recorded_at: at,
        channels: vec![CallKind::LiveManual],
        form: Some(ConsentForm::Written),
        explicit: Some(true),
        documented: Some(true),
        out_of_hours: Some(true),
        period: Some("indefinite".to_owned()),
        initiated_by: Some(InitiatedBy::Person),
        source: Some("paper".to_owned()),
        evidence_ref: Some("form-17".to_owned()),
        wording_ref: None,
        actor: "key:office".to_owned(),
    }
}

pub fn campaign() -> Campaign {
    Campaign {
        campaign_id: CAMPAIGN.to_owned(),
        active: true,
        seller: SELLER.to_owned(),
        seller_type: SellerType::ForProfit,
        purpose: Purpose::Sales,
        subject: None,
        sector: None,
        controller_country: None,
        call_kinds: vec![CallKind::LiveManual],
        caller_ids: vec![CallerId {
            number: Phone::parse(CALLER_ID).unwrap(),
            owned: true,
            callable: true,
            in_directory: false,
        }],
        destinations: vec!["AU".to_owned()],
        dialing: Dialing::by(TRUNK),
        registrations: Vec::new(),
        special_category: false,
        atds: false,
        new_product: false,
        introduction: None,
        voice: None,
    }
}

/// May this person be called?
pub fn question(index: u32) -> CallRequest {
    CallRequest {
        tenant: TenantId::default(),
        request_id: Some(RequestId(uuid::Uuid::new_v4())),
        request_digest: [7; 32],
        to: Phone::parse(&number(index)).unwrap(),
        party_id: None,
        campaign_id: CAMPAIGN.to_owned(),
        call_kind: CallKind::LiveManual,
        caller_id: None,
        sdp_offer: OFFER.as_bytes().to_vec(),
        agent: None,
        expire_time: Some(wall().plus(Duration::from_secs(600))),
        answer_by: None,
        actor: "key:agent".to_owned(),
    }
}

/// What the gate loads about one of the people, and what the campaign adds.
pub fn facts() -> Facts {
    let at = wall();
    let phone = Phone::parse(&number(0)).unwrap();
    let consent = consent(PartyId::new(at), phone, at);
    Facts {
        audience: profile().audience,
        line_type: Some(LineType::Landline),
        location: profile().location,
        notice: dealings().notice,
        registers: vec![register()],
        consents: vec![Consent {
            action: consent.action,
            at: consent.at,
            channels: Some(consent.channels),
            source: consent.source,
            form: consent.form,
            explicit: consent.explicit,
            documented: consent.documented,
            out_of_hours: consent.out_of_hours,
            period: consent.period,
            initiated_by: consent.initiated_by,
            evidence_ref: consent.evidence_ref,
        }],
        caller_id: Some(CallerIdFacts {
            owned: Some(true),
            callable: Some(true),
            in_directory: Some(false),
        }),
        ..Facts::default()
    }
}

/// The case of one question, as the gate builds it.
pub fn case(id: String, to: Phone, facts: Facts, at: Micros) -> Case {
    Case {
        id,
        call: CallFacts {
            at,
            to: to.reveal(),
            from: Phone::parse(CALLER_ID).ok(),
            call_kind: CallKind::LiveManual,
            purpose: Some(Purpose::Sales),
            subject: None,
            seller: Some(SELLER.to_owned()),
            sector: None,
            controller_country: None,
            seller_type: Some(SellerType::ForProfit),
            caller_id_withheld: None,
            atds: Some(false),
            special_category: Some(false),
            new_product: Some(false),
            introduction: None,
            voice: None,
        },
        facts,
        expect: None,
        why: None,
        tags: Vec::new(),
    }
}
