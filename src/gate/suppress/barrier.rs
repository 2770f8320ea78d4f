//! Steps opt-out-2 to opt-out-5: which calls are under way, and how long an opt-out waits for them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::account::Account;
use crate::domain::ids::{AttemptId, PartyId, RequestId, TenantId};
use crate::domain::phone::NumberKey;
use crate::domain::suppression::Suppression;
use crate::domain::time::Mono;
use crate::gate::error::GateError;
use crate::gate::{Ask, Gate};
use crate::store::{self, Notice, StoreError, Tx, Urgency};

use super::Wish;
use super::round::by_tenant;
use super::strangers::Strangers;

/// How long an opt-out waits, from the return of its COMMIT, when it cannot know that every older claim was closed.
/// Compiled in, the same on every node: [`crate::policy::Permit::LIFE`] and half a second of margin for slewed clocks
/// and for a freeze between a permit's last comparison and the system call.
pub const BARRIER_WAIT: Duration = Duration::from_secs(2);

/// Most people on one number whose locks an opt-out takes with it; one that follows more of them waits the full time, and
/// the owners of calls to their other numbers find it by themselves.
const FOLLOWED_MAX: usize = 64;

/// How often the attempts that an opt-out saw open are looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What an acknowledgement waits for.
pub(super) struct Pending {
    pub(super) raised: Raised,
    pub(super) committed: Mono,
}

/// What an opt-out learned before its COMMIT.
pub(super) struct Raised {
    scope: Scope,
    locked: bool,
    /// The people whom it follows to their other numbers; if the lock was held, theirs was too.
    followed: Vec<PartyId>,
    /// Attempts whose permits were open, if the lock was held.
    open: Vec<AttemptId>,
}

enum Scope {
    Number(NumberKey),
    Wide,
}

impl Scope {
    /// What the owners of calls are told.
    fn notice(&self) -> Notice {
        match self {
            Self::Number(key) => Notice::OptOut(*key),
            Self::Wide => Notice::OptOutWide,
        }
    }
}

impl Raised {
    /// Of what enumerates nothing and locks nothing.
    fn wide() -> Self {
        Self {
            scope: Scope::Wide,
            locked: false,
            followed: Vec::new(),
            open: Vec::new(),
        }
    }
}

impl Gate {
    /// Steps opt-out-2 to opt-out-5 for a suppression that this transaction holds or finds recorded.
    pub(in crate::gate) async fn raise_and_wait(
        &self,
        tx: Tx,
        ask: &Ask,
        suppression: &Suppression,
    ) -> Result<(), GateError> {
        let wishes = [(&ask.principal.tenant, suppression)];
        let strangers = Strangers::default();
        for pending in self.commit_raised(tx, &wishes, strangers).await? {
            self.wait(&pending.raised, pending.committed).await;
        }
        self.pass(ask, suppression).await
    }

    /// Steps opt-out-2 to opt-out-4 for suppressions that this transaction holds or finds recorded: what each of them waits for.
    pub(super) async fn commit_raised(
        &self,
        mut tx: Tx,
        wishes: &[(&TenantId, &Suppression)],
        mut strangers: Strangers,
    ) -> Result<Vec<Pending>, GateError> {
        let mut raised = raise(&mut tx, wishes, &mut strangers).await?;
        tx.commit().await?;
        // opt-out-4: the clock is read after COMMIT returned, never before.
        let committed = self.read().mono;
        let notice = match &raised[..] {
            [] => None,
            [only] => Some(only.scope.notice()),
            _ => Some(Notice::OptOutWide),
        };
        tokio::join!(
            self.tell(notice),
            self.look_again(wishes, strangers, &mut raised)
        );
        let pending = raised
            .into_iter()
            .map(|raised| Pending { raised, committed });
        Ok(pending.collect())
    }

    /// Whether each follows nobody whose lock it did not hold. Looked at after COMMIT: whoever was given the number before it
    /// and after the locks is seen here, and a claim for another number of theirs may have missed the opt-out.
    async fn look_again(
        &self,
        wishes: &[(&TenantId, &Suppression)],
        mut strangers: Strangers,
        raised: &mut [Raised],
    ) {
        if !raised.iter().any(|raised| raised.locked) {
            return;
        }
        let looked = async {
            // Not as a reader: those may all be taken, and an opt-out needs no connection that ordinary work holds.
            let mut tx = self.store().write(Urgency::OptOut).await?;
            let mut found = Vec::with_capacity(wishes.len());
            look_at_strangers(&mut tx, wishes, &mut strangers).await?;
            for (tenant, suppression) in wishes {
                found.push(match strangers.number(suppression) {
                    Some(_) => Some(Vec::new()),
                    None => followed(&mut tx, tenant, suppression).await?,
                });
            }
            Ok::<_, StoreError>(found)
        };
        // A store that does not answer must not make the answer later than the full wait.
        let looked = tokio::time::timeout(BARRIER_WAIT, looked).await;
        let found = looked.ok().and_then(Result::ok).unwrap_or_default();
        for (index, raised) in raised.iter_mut().enumerate() {
            let now = found.get(index).and_then(Option::as_ref);
            let is_same = |now: &Vec<PartyId>| now.iter().all(|id| raised.followed.contains(id));
            raised.locked = raised.locked && now.is_some_and(is_same);
        }
    }

    /// The end of an opt-out's wait, together with all who have waited meanwhile.
    pub(super) async fn pass(&self, ask: &Ask, suppression: &Suppression) -> Result<(), GateError> {
        let wish = Wish {
            ask: ask.clone(),
            suppression: suppression.clone(),
        };
        let gate = self.clone();
        let pass = move |wishes| gate.clone().pass_each(wishes);
        match self.core.passing.ask(wish.clone(), pass).await {
            Some(passed) => passed,
            None => self.pass_all(std::slice::from_ref(&wish)).await,
        }
    }

    async fn pass_each(self, wishes: Vec<Wish>) -> Vec<Result<(), GateError>> {
        if wishes.len() > 1 && self.pass_all(&wishes).await.is_ok() {
            return wishes.iter().map(|_| Ok(())).collect();
        }
        let mut passed = Vec::with_capacity(wishes.len());
        for wish in &wishes {
            passed.push(self.pass_all(std::slice::from_ref(wish)).await);
        }
        passed
    }

    async fn pass_all(&self, wishes: &[Wish]) -> Result<(), GateError> {
        let mut tx = self.store().write(Urgency::OptOut).await?;
        for (tenant, theirs) in by_tenant(wishes) {
            let keys = theirs
                .iter()
                .filter_map(|wish| wish.suppression.subject.number());
            let keys: Vec<NumberKey> = keys.collect();
            // Once more, for who was given the number, or joined the account, since: nobody may shake off what has been acknowledged.
            let linked = tx.linked_numbers(tenant, &keys).await?;
            for Wish { suppression, .. } in &theirs {
                if suppression
                    .subject
                    .number()
                    .is_some_and(|key| !linked.contains(&key))
                {
                    continue;
                }
                let spoken_after = suppression.spoken_by_holder_after();
                tx.raise_for_new_holders(tenant, suppression).await?;
                tx.bind_holders(tenant, suppression, spoken_after).await?;
            }
            let passed: Vec<RequestId> = theirs.iter().map(|wish| wish.ask.request_id).collect();
            tx.pass_requests(tenant, &passed).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// A lost notice costs some ringing, never safety: owners look by themselves every 250 ms.
    async fn tell(&self, notice: Option<Notice>) {
        let Some(notice) = notice else { return };
        if let Err(error) = self.store().notify(&notice).await {
            tracing::debug!(%error, "workers were not told of an opt-out; they find it by themselves");
        }
    }

    /// After a person has joined an account, and before that is answered: of an account that has opted out, the time is waited
    /// after which no claim is alive that did not see them in it. The look comes after COMMIT, so that of a person who joins
    /// and an opt-out that is recorded at once, one sees the other.
    pub(in crate::gate) async fn wait_for_member(
        &self,
        tenant: &TenantId,
        account: &Account,
        committed: Mono,
    ) -> Result<(), GateError> {
        let account = self.store().account_hasher().key(tenant, account);
        let at = self.read().wall;
        let opted_out = {
            let mut tx = self.store().read().await?;
            tx.account_opted_out(tenant, &account, at).await?
        };
        if opted_out {
            let raised = Raised::wide();
            self.tell(Some(raised.scope.notice())).await;
            self.wait(&raised, committed).await;
        }
        Ok(())
    }

    /// opt-out-5: until every attempt seen open was closed by its owner, or the full wait is over on this node's own
    /// clock. No other reason ends it.
    pub(super) async fn wait(&self, raised: &Raised, committed: Mono) {
        let mut open = raised.open.clone();
        loop {
            if raised.locked && open.is_empty() {
                return;
            }
            let waited = self.read().mono.since(committed);
            let Some(left) = BARRIER_WAIT
                .checked_sub(waited)
                .filter(|left| !left.is_zero())
            else {
                return;
            };
            if raised.locked {
                tokio::time::sleep(left.min(LOOK_AGAIN)).await;
                open = self.still_open(open, left).await;
            } else {
                tokio::time::sleep(left).await;
            }
        }
    }

    /// Those still open; if that cannot be read in time, all of them are.
    async fn still_open(&self, open: Vec<AttemptId>, left: Duration) -> Vec<AttemptId> {
        let looked = async { self.store().read().await?.still_open(&open).await };
        let looked = tokio::time::timeout(left, looked).await;
        looked.ok().and_then(Result::ok).unwrap_or(open)
    }
}

/// The people whom it follows to their other numbers; nothing if there are too many to lock.
async fn followed(
    tx: &mut Tx,
    tenant: &TenantId,
    suppression: &Suppression,
) -> Result<Option<Vec<PartyId>>, StoreError> {
    let limit = i64::try_from(FOLLOWED_MAX).unwrap_or(i64::MAX);
    let people = tx
        .followed(tenant, suppression, limit.saturating_add(1))
        .await?;
    Ok(Some(people).filter(|people| people.len() <= FOLLOWED_MAX))
}

/// Steps opt-out-2 to opt-out-4 before COMMIT. A claim locks its number and its person; so does the opt-out of a number,
/// with each person whom it follows to their other numbers. A wider scope enumerates nothing and locks nothing
/// (opt-out-7). The locks of several are taken at once, in one order; a number that is busy does not make the others wait, for
/// then each is recorded alone.
async fn raise(
    tx: &mut Tx,
    wishes: &[(&TenantId, &Suppression)],
    strangers: &mut Strangers,
) -> Result<Vec<Raised>, StoreError> {
    let mut raised = Vec::with_capacity(wishes.len());
    let mut keys: BTreeMap<&TenantId, Vec<[u8; 32]>> = BTreeMap::new();
    for (tenant, suppression) in wishes {
        let Some(key) = suppression.subject.number() else {
            raised.push(Raised::wide());
            continue;
        };
        let people = match strangers.number(suppression) {
            Some(_) => Some(Vec::new()),
            None => followed(tx, tenant, suppression).await?,
        };
        let listed = people.is_some();
        let people = people.unwrap_or_default();
        if listed {
            let keys = keys.entry(tenant).or_default();
            keys.push(key.0);
            keys.extend(people.iter().copied().map(store::party_lock_key));
        }
        raised.push(Raised {
            scope: Scope::Number(key),
            locked: listed,
            followed: people,
            open: Vec::new(),
        });
    }
    for (tenant, keys) in keys {
        let locked = tx.try_lock_numbers(tenant, &keys).await?;
        if !locked && wishes.len() > 1 {
            return Err(StoreError::LockTimeout);
        }
        raised.iter_mut().for_each(|raised| raised.locked &= locked);
    }
    // Whoever was given one of them before the locks may have a call under way.
    look_at_strangers(tx, wishes, strangers).await?;
    for ((tenant, suppression), raised) in wishes.iter().zip(&mut raised) {
        let Scope::Number(key) = &raised.scope else {
            continue;
        };
        // A call is one to somebody who holds the number, or held it.
        if raised.locked && strangers.number(suppression).is_some() {
            continue;
        }
        tx.request_cancel(tenant, key, &raised.followed, suppression)
            .await?;
        if raised.locked {
            raised.open = tx.open_permits(tenant, key, &raised.followed).await?;
        }
    }
    Ok(raised)
}

/// Which of them are strangers' no more.
async fn look_at_strangers(
    tx: &mut Tx,
    wishes: &[(&TenantId, &Suppression)],
    strangers: &mut Strangers,
) -> Result<(), StoreError> {
    let mut keys: BTreeMap<&TenantId, Vec<NumberKey>> = BTreeMap::new();
    for (tenant, suppression) in wishes {
        let key = strangers.number(suppression);
        keys.entry(tenant).or_default().extend(key);
    }
    for (tenant, keys) in keys {
        strangers.look_again(tx, tenant, &keys).await?;
    }
    Ok(())
}
