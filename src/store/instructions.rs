//! What clients ask of calls that are up, from any node, and what the owner of the call makes of it.

use uuid::Uuid;

use super::parties::word;
use super::vault::Label;
use super::{Result, StoreError, Tx, on, row};
use crate::domain::ids::{CallId, Incarnation, InstructionId, PartyId, TenantId};
use crate::domain::instruction::{
    Followed, Instruct, Instruction, InstructionKind, InstructionResult,
};
use crate::domain::time::Micros;

/// The most that an owner is given at one look.
const LOOK_MAX: i64 = 256;

/// An instruction without an answer: whose, which, of which call, and what is asked.
pub type OpenInstruction = (TenantId, InstructionId, CallId, Option<Instruction>);

row!(OpenRow {
    instruction_id: Uuid,
    call_id: Uuid,
    tenant_id: String,
    party_id: Uuid,
    kind: String,
    number: Option<i64>,
    sealed_body: Option<Vec<u8>>,
});

row!(EndedRow {
    result: Option<String>,
    sip_code: Option<i64>,
    sealed_answer: Option<Vec<u8>>,
    party_id: Uuid,
});

impl Tx {
    /// Writes down what a client asks of a call; `false`, and nothing written, if that is not up. The call's row is held, so
    /// that its end finds the instruction.
    pub async fn insert_instruction(
        &mut self,
        tenant: &TenantId,
        asked: &Instruction,
        at: Micros,
    ) -> Result<bool> {
        const HOLD: &str = "UPDATE calls SET last_sequence = last_sequence
            WHERE tenant_id = $1 AND call_id = $2 AND queue_state = 'claimed' AND answer_time IS NOT NULL
            RETURNING party_id";
        const INSERT: &str = "INSERT INTO instructions (instruction_id, tenant_id, call_id, kind, number, sealed_body, create_time)
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let party: Option<Uuid> = on!(self, |conn| sqlx::query_scalar(HOLD)
            .bind(&tenant.0)
            .bind(asked.call_id.0)
            .fetch_optional(conn)
            .await)?;
        let Some(party) = party.map(PartyId) else {
            return Ok(false);
        };
        let (number, body) = parts(&asked.what);
        self.load_keys(tenant, &[party]).await?;
        let sealed = self.seal_for(party, Label::Instruction, Some(body))?;
        on!(self, |conn| sqlx::query(INSERT)
            .bind(asked.instruction_id.0)
            .bind(&tenant.0)
            .bind(asked.call_id.0)
            .bind(asked.what.kind().as_str())
            .bind(number)
            .bind(sealed)
            .bind(at.0)
            .execute(conn)
            .await
            .map(drop))?;
        Ok(true)
    }

    /// What is asked of this owner's calls and not answered yet, oldest first; a number of them are under way already and are
    /// not to keep the others from being seen. What cannot be read any more, as of
    /// a person who was erased, comes as nothing.
    pub async fn instructions_for(
        &mut self,
        owner: Incarnation,
        under_way: usize,
    ) -> Result<Vec<OpenInstruction>> {
        // From the few that are open, each row by its key: in the order written, which SQLite keeps for a CROSS JOIN.
        const SQL: &str = "SELECT i.instruction_id, i.call_id, i.tenant_id, c.party_id, i.kind, i.number, i.sealed_body
            FROM instructions AS i CROSS JOIN calls AS c CROSS JOIN attempts AS a
            WHERE i.result IS NULL AND c.call_id = i.call_id AND a.attempt_id = c.attempt_id AND a.owner = $1
            ORDER BY i.create_time, i.instruction_id LIMIT $2";
        let rows: Vec<OpenRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(owner.0)
            .bind(LOOK_MAX.saturating_add(i64::try_from(under_way).unwrap_or(i64::MAX)))
            .fetch_all(conn)
            .await)?;
        let mut asked = Vec::with_capacity(rows.len());
        for row in rows {
            let (tenant, party) = (TenantId(row.tenant_id.clone()), PartyId(row.party_id));
            // One person's damaged key keeps nobody else waiting.
            let body = match self.load_sound_keys(&tenant, &[party]).await?.as_slice() {
                [] => self.open_for(party, Label::Instruction, row.sealed_body.as_deref())?,
                _ => None,
            };
            let (id, call_id) = (InstructionId(row.instruction_id), CallId(row.call_id));
            let instruction = match body {
                None => None,
                Some(body) => Some(Instruction {
                    instruction_id: id,
                    call_id,
                    what: whole(word(&row.kind, "instruction kind")?, row.number, body)?,
                }),
            };
            asked.push((tenant, id, call_id, instruction));
        }
        Ok(asked)
    }

    /// What became of an instruction; the first word stands. What was asked is forgotten.
    pub async fn end_instruction(
        &mut self,
        tenant: &TenantId,
        id: InstructionId,
        followed: &Followed,
        at: Micros,
    ) -> Result<()> {
        const PARTY: &str =
            "SELECT c.party_id FROM instructions AS i JOIN calls AS c ON c.call_id = i.call_id
            WHERE i.tenant_id = $1 AND i.instruction_id = $2 AND i.result IS NULL";
        const END: &str = "UPDATE instructions SET result = $3, sip_code = $4, sealed_answer = $5, sealed_body = NULL, end_time = $6
            WHERE tenant_id = $1 AND instruction_id = $2 AND result IS NULL";
        let party: Option<Uuid> = on!(self, |conn| sqlx::query_scalar(PARTY)
            .bind(&tenant.0)
            .bind(id.0)
            .fetch_optional(conn)
            .await)?;
        let Some(party) = party.map(PartyId) else {
            return Ok(());
        };
        self.load_keys(tenant, &[party]).await?;
        let answer = (!followed.sdp.is_empty()).then_some(followed.sdp.as_slice());
        let sealed = self.seal_for(party, Label::Sdp, answer)?;
        on!(self, |conn| sqlx::query(END)
            .bind(&tenant.0)
            .bind(id.0)
            .bind(followed.result.as_str())
            .bind(followed.code.map(i64::from))
            .bind(sealed)
            .bind(at.0)
            .execute(conn)
            .await
            .map(drop))
    }

    /// What became of an instruction, if anything has yet. One that was forgotten was of a call that is long over.
    pub async fn instruction_followed(
        &mut self,
        tenant: &TenantId,
        id: InstructionId,
    ) -> Result<Option<Followed>> {
        const SQL: &str = "SELECT i.result, i.sip_code, i.sealed_answer, c.party_id
            FROM instructions AS i JOIN calls AS c ON c.call_id = i.call_id
            WHERE i.tenant_id = $1 AND i.instruction_id = $2";
        let row: Option<EndedRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(&tenant.0)
            .bind(id.0)
            .fetch_optional(conn)
            .await)?;
        let EndedRow {
            result: Some(result),
            sip_code,
            sealed_answer,
            party_id,
        } = (match row {
            Some(row) => row,
            None => return Ok(Some(Followed::plain(InstructionResult::NotUp))),
        })
        else {
            return Ok(None);
        };
        let party = PartyId(party_id);
        self.load_keys(tenant, &[party]).await?;
        let sdp = self.open_for(party, Label::Sdp, sealed_answer.as_deref())?;
        Ok(Some(Followed {
            result: word(&result, "instruction result")?,
            code: sip_code.and_then(|code| u16::try_from(code).ok()),
            sdp: sdp.unwrap_or_default(),
        }))
    }

    /// Forgets what was answered before then, so many at most: who asked has long had the answer, which may hold the far end's
    /// session. How many that were.
    pub async fn forget_instructions(&mut self, before: Micros, most: i64) -> Result<u64> {
        const SQL: &str = "DELETE FROM instructions WHERE instruction_id IN (
            SELECT instruction_id FROM instructions WHERE end_time < $1 ORDER BY end_time LIMIT $2)";
        on!(self, |conn| sqlx::query(SQL)
            .bind(before.0)
            .bind(most)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))
    }

    /// A call that is over leaves none open.
    pub(super) async fn end_instructions_of(&mut self, call_id: CallId, at: Micros) -> Result<()> {
        const SQL: &str =
            "UPDATE instructions SET result = 'not_up', sealed_body = NULL, end_time = $2
            WHERE call_id = $1 AND result IS NULL";
        on!(self, |conn| sqlx::query(SQL)
            .bind(call_id.0)
            .bind(at.0)
            .execute(conn)
            .await
            .map(drop))
    }
}

fn parts(what: &Instruct) -> (Option<i64>, &[u8]) {
    match what {
        Instruct::Offer { sdp } => (None, sdp),
        Instruct::Answer { offer, sdp } => (Some(i64::from(*offer)), sdp),
        Instruct::Decline { offer } => (Some(i64::from(*offer)), &[]),
        Instruct::Dtmf { tones, millis } => (Some(i64::from(*millis)), tones.as_bytes()),
    }
}

fn whole(kind: InstructionKind, number: Option<i64>, body: Vec<u8>) -> Result<Instruct> {
    let damaged = || StoreError::Damaged {
        what: "instruction",
    };
    let number = || number.ok_or_else(damaged);
    let offer = || u32::try_from(number()?).map_err(|_| damaged());
    Ok(match kind {
        InstructionKind::Offer => Instruct::Offer { sdp: body },
        InstructionKind::Answer => Instruct::Answer {
            offer: offer()?,
            sdp: body,
        },
        InstructionKind::Decline => Instruct::Decline { offer: offer()? },
        InstructionKind::Dtmf => Instruct::Dtmf {
            tones: String::from_utf8(body).map_err(|_| damaged())?,
            millis: u16::try_from(number()?).map_err(|_| damaged())?,
        },
    })
}
