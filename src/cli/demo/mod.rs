//! `dialgate demo`: what dialgate does, in half a minute, on loopback. A real server on an embedded store, a simulated
//! carrier that speaks real SIP, and this process as a softphone over real gRPC. No clock is faked and no rule is off: it
//! calls people whose window is open now, and says so.

mod cast;
mod stage;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use jiff::Timestamp;

use self::cast::{BERLIN, Ground, PLACES, Part, Place, sleepers};
use self::stage::Stage;
use super::call::{ending, event_text, plain_offer};
use super::card::{Detail, card};
use super::output::Output;
use super::wire;
use crate::clock::Clock;
use crate::grpc::client::{Follower, Next, ask};
use crate::grpc::pb;
use pb::{CallEventKind, Verdict};

/// The demo ends by itself; this is only for the case that something hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// Arguments of `demo`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  dialgate demo\n\nNothing outside this machine is called, and nothing is left behind."
)]
pub struct DemoArgs {}

/// Plays the demo.
pub async fn run(DemoArgs {}: DemoArgs) -> Result<ExitCode> {
    let play = async {
        let show = Show {
            stage: Stage::set().await?,
            output: Output::new(false),
        };
        show.play().await?;
        show.stage.node.stop().await;
        anyhow::Ok(())
    };
    tokio::time::timeout(LIMIT, play)
        .await
        .context("the demo took too long")??;
    Ok(ExitCode::SUCCESS)
}

struct Show {
    stage: Stage,
    output: Output,
}

impl Show {
    async fn play(&self) -> Result<()> {
        self.title("dialgate demo: a real server, real SIP over loopback, real gRPC; no clock is faked, no rule is off")?;
        let open = self.somewhere_open().await?;
        let unanswered = self.unanswered_begins(open).await?;
        self.an_allowed_call(open).await?;
        self.refusals(open).await?;
        self.an_opt_out_cancels(open).await?;
        self.other_endings(open).await?;
        self.title("9. The call that nobody took rang for the 15 seconds that the law asks for")?;
        self.follow(&unanswered).await?;
        self.sum()
    }

    /// Asks the gate itself, place by place.
    async fn somewhere_open(&self) -> Result<&'static Place> {
        let now = now();
        for place in PLACES {
            self.record(place, Part::Scout, 0).await?;
            let decision = self.check(place, Part::Scout).await?;
            if decision.verdict() == Verdict::Allow {
                self.say(&format!(
                    "It is {now:.0}. People in {} can be called now.",
                    place.name
                ))?;
                return Ok(place);
            }
            self.say(&format!(
                "{}: not now ({}).",
                place.name,
                decision.denied_by.join(", ")
            ))?;
        }
        bail!(
            "no place of the cast can be called now; this is a fault of the demo, please report it"
        )
    }

    async fn unanswered_begins(&self, open: &Place) -> Result<String> {
        self.record(open, Part::LetsItRing, 0).await?;
        let call = self
            .place(open, Part::LetsItRing, false)
            .await?
            .context("the call was refused")?;
        self.say("Somebody who will not take the call is being rung meanwhile.")?;
        Ok(call.call_id)
    }

    async fn an_allowed_call(&self, open: &Place) -> Result<()> {
        self.title("1. An allowed call: every rule in play, then the events of the call")?;
        self.record(open, Part::Answers, 0).await?;
        let call = self
            .place(open, Part::Answers, true)
            .await?
            .context("the call was refused")?;
        let ended = self.follow(&call.call_id).await?;
        ensure!(ended.answer_time.is_some(), "the call was not answered");
        Ok(())
    }

    async fn refusals(&self, open: &Place) -> Result<()> {
        self.title("2. Refused: this person asked not to be called")?;
        self.record(open, Part::OptedOut, 0).await?;
        self.opt_out(&open.number(Part::OptedOut)).await?;
        self.refused(open, Part::OptedOut).await?;

        self.title("3. Refused: it is too early or too late where this person is")?;
        let asleep = self.somewhere_closed().await?;
        self.say(&format!("In {}:", asleep.name))?;
        self.refused(asleep, Part::Asleep).await?;

        self.title("4. Refused: the copy of the do-not-call register is 40 days old")?;
        let strict = if open.ground == Ground::ConsentAtAnyHour {
            first_place()?
        } else {
            open
        };
        self.record(strict, Part::StaleRegister, 40).await?;
        self.refused(strict, Part::StaleRegister).await?;

        self.title("5. Refused: Germany asks for consent before a sales call, and there is none")?;
        self.record(&BERLIN, Part::NeverAgreed, 0).await?;
        self.refused(&BERLIN, Part::NeverAgreed).await
    }

    async fn an_opt_out_cancels(&self, open: &Place) -> Result<()> {
        self.title("6. A phone rings, and the person opts out on another channel")?;
        self.record(open, Part::OptsOutWhileRinging, 0).await?;
        let call = self
            .place(open, Part::OptsOutWhileRinging, false)
            .await?
            .context("the call was refused")?;
        let mut follower = Follower::new(self.stage.agent.clone(), call.call_id.clone());
        while let Next::Event(event) = follower.next().await? {
            self.say(&event_text(&event))?;
            if event.kind() == CallEventKind::Ringing {
                let started = Clock::Real.read().mono;
                self.opt_out(&open.number(Part::OptsOutWhileRinging))
                    .await?;
                let waited = Clock::Real.read().mono.since(started).as_millis();
                self.say(&format!("    the opt-out is recorded and acknowledged ({waited} ms); no INVITE can follow it"))?;
            }
        }
        let received = self
            .stage
            .carrier
            .received(&open.number(Part::OptsOutWhileRinging));
        ensure!(received.cancels > 0, "the carrier saw no CANCEL");
        self.say("The carrier got its CANCEL. A further try:")?;
        self.refused(open, Part::OptsOutWhileRinging).await
    }

    async fn other_endings(&self, open: &Place) -> Result<()> {
        self.title("7. A busy line")?;
        self.record(open, Part::Busy, 0).await?;
        let busy = self
            .place(open, Part::Busy, false)
            .await?
            .context("the call was refused")?;
        self.follow(&busy.call_id).await?;
        self.title("8. A person who declines")?;
        self.record(open, Part::Declines, 0).await?;
        let declined = self
            .place(open, Part::Declines, false)
            .await?
            .context("the call was refused")?;
        self.follow(&declined.call_id).await.map(drop)
    }

    fn sum(&self) -> Result<()> {
        self.title("That was all")?;
        for part in [Part::OptedOut, Part::StaleRegister, Part::Asleep] {
            for place in PLACES {
                let received = self.stage.carrier.received(&place.number(part));
                ensure!(received.invites == 0, "a refused number was dialed");
            }
        }
        self.say(
            "The carrier saw no INVITE for any refused number. Next: README.md, \"A first call\".",
        )
    }

    /// A place of the cast whose window is closed now: somewhere it is always night.
    async fn somewhere_closed(&self) -> Result<&'static Place> {
        for place in sleepers() {
            self.record(place, Part::Asleep, 0).await?;
            let decision = self.check(place, Part::Asleep).await?;
            if decision.verdict() == Verdict::Deny {
                return Ok(place);
            }
        }
        bail!("every window of the cast is open now; this is a fault of the demo, please report it")
    }

    async fn record(&self, place: &Place, part: Part, register_age_days: i64) -> Result<()> {
        let administrator = &self.stage.administrator;
        let request = pb::UpsertContactRequest {
            request_id: uuid::Uuid::new_v4().to_string(),
            contact: Some(place.contact(part, now(), register_age_days)),
            update_mask: None,
        };
        administrator
            .contacts()
            .upsert_contact(ask(request))
            .await?;
        if let Some(consent) = place.consent(part, now()) {
            administrator
                .consents()
                .record_consent(ask(consent))
                .await?;
        }
        Ok(())
    }

    async fn opt_out(&self, number: &str) -> Result<()> {
        let request = pb::CreateSuppressionRequest {
            request_id: uuid::Uuid::new_v4().to_string(),
            subject: Some(pb::create_suppression_request::Subject::Number(
                number.to_owned(),
            )),
            reason: pb::SuppressionReason::PartyRequest.into(),
            source: pb::SuppressionSource::Web.into(),
            ..pb::CreateSuppressionRequest::default()
        };
        self.stage
            .administrator
            .suppressions()
            .create_suppression(ask(request))
            .await?;
        Ok(())
    }

    async fn check(&self, place: &Place, part: Part) -> Result<pb::Decision> {
        let request = pb::CheckCallRequest {
            to: place.number(part),
            campaign: "demo".to_owned(),
            call_kind: pb::CallKind::LiveManual.into(),
            ..pb::CheckCallRequest::default()
        };
        let answer = self
            .stage
            .agent
            .calls()
            .check_call(ask(request))
            .await?
            .into_inner();
        answer
            .decision
            .context("the server answered without a decision")
    }

    async fn place(&self, place: &Place, part: Part, show: bool) -> Result<Option<pb::Call>> {
        let now = now();
        let request = pb::PlaceCallRequest {
            request_id: uuid::Uuid::new_v4().to_string(),
            to: place.number(part),
            campaign: "demo".to_owned(),
            call_kind: pb::CallKind::LiveManual.into(),
            sdp_offer: plain_offer(1),
            expire_time: Some(wire::to_wire(now.checked_add(Duration::from_secs(20))?)),
            ..pb::PlaceCallRequest::default()
        };
        let answer = self
            .stage
            .agent
            .calls()
            .place_call(ask(request))
            .await?
            .into_inner();
        let decision = answer
            .decision
            .context("the server answered without a decision")?;
        if show || answer.call.is_none() {
            self.say(&card(&decision, Detail::Denials, self.output.paint()))?;
        }
        Ok(answer.call)
    }

    async fn refused(&self, place: &Place, part: Part) -> Result<()> {
        ensure!(
            self.place(place, part, true).await?.is_none(),
            "the call should have been refused"
        );
        Ok(())
    }

    /// Prints the call's events to its end.
    async fn follow(&self, call_id: &str) -> Result<pb::Call> {
        let mut follower = Follower::new(self.stage.agent.clone(), call_id.to_owned());
        while let Next::Event(event) = follower.next().await? {
            self.say(&event_text(&event))?;
        }
        let request = pb::GetCallRequest {
            call_id: call_id.to_owned(),
        };
        let answer = self
            .stage
            .agent
            .calls()
            .get_call(ask(request))
            .await?
            .into_inner();
        let call = answer
            .call
            .context("the server answered without the call")?;
        self.say(&ending(&call))?;
        Ok(call)
    }

    fn title(&self, text: &str) -> Result<()> {
        self.output
            .remark(&format!("\n{}\n", self.output.paint().strong(text)))
    }

    fn say(&self, text: &str) -> Result<()> {
        self.output.remark(text)
    }
}

fn now() -> Timestamp {
    Clock::Real.read().wall.timestamp()
}

fn first_place() -> Result<&'static Place> {
    PLACES.first().context("the cast is empty")
}
