//! What clients ask of calls that are up.

use dialgate::domain::ids::InstructionId;
use dialgate::domain::instruction::{Followed, Instruct, Instruction, InstructionResult};

use super::*;

contract![
    instructions_reach_the_owner_of_a_call_that_is_up,
    the_end_of_a_call_answers_what_is_open,
    what_was_answered_long_ago_is_forgotten,
];

fn asked(call_id: CallId, what: Instruct) -> Instruction {
    Instruction {
        instruction_id: InstructionId::new(NOON),
        call_id,
        what,
    }
}

async fn answered(store: &TestStore, number: u32, owner: Incarnation) -> (Call, NewAttempt) {
    let (call, made) = store.claimed(phone(number), owner).await;
    let mut tx = store.write().await;
    let up = event(
        call.call_id,
        after(5),
        EventKind::Answered,
        Some(CallState::Answered),
    );
    tx.record_event(&tenant(), &up).await.unwrap();
    tx.commit().await.unwrap();
    (call, made)
}

async fn instructions_reach_the_owner_of_a_call_that_is_up(store: TestStore) {
    let (owner, other) = (Incarnation::new(NOON), Incarnation::new(NOON));
    let (call, _) = answered(&store, 1, owner).await;
    let (ringing, _) = store.claimed(phone(2), owner).await;
    let sdp = b"v=0 ours".to_vec();
    let all = [
        Instruct::Offer { sdp: sdp.clone() },
        Instruct::Answer { offer: 3, sdp },
        Instruct::Decline { offer: 4 },
        Instruct::Dtmf {
            tones: "12#".to_owned(),
            millis: 160,
        },
    ]
    .map(|what| asked(call.call_id, what));
    let mut tx = store.write().await;
    for each in &all {
        assert!(tx.insert_instruction(&tenant(), each, NOON).await.unwrap());
    }
    let early = asked(ringing.call_id, Instruct::Decline { offer: 1 });
    assert!(
        !tx.insert_instruction(&tenant(), &early, NOON)
            .await
            .unwrap()
    );
    assert!(tx.instructions_for(other, 0).await.unwrap().is_empty());
    let open = tx.instructions_for(owner, 0).await.unwrap();
    let open: Vec<_> = open
        .into_iter()
        .map(|(_, _, _, asked)| asked.unwrap())
        .collect();
    assert_eq!(open, all, "in the order in which they were asked");
    let id = all[0].instruction_id;
    assert_eq!(tx.instruction_followed(&tenant(), id).await.unwrap(), None);
    let followed = Followed {
        sdp: b"v=0 theirs".to_vec(),
        ..Followed::with_code(200)
    };
    tx.end_instruction(&tenant(), id, &followed, after(6))
        .await
        .unwrap();
    let later = Followed::plain(InstructionResult::NotUp);
    tx.end_instruction(&tenant(), id, &later, after(7))
        .await
        .unwrap();
    let told = tx.instruction_followed(&tenant(), id).await.unwrap();
    assert_eq!(told, Some(followed), "the first word stands");
    assert_eq!(tx.instructions_for(owner, 0).await.unwrap().len(), 3);
    tx.commit().await.unwrap();
}

async fn the_end_of_a_call_answers_what_is_open(store: TestStore) {
    let owner = Incarnation::new(NOON);
    let (call, made) = answered(&store, 1, owner).await;
    let open = asked(call.call_id, Instruct::Decline { offer: 1 });
    let mut tx = store.write().await;
    assert!(tx.insert_instruction(&tenant(), &open, NOON).await.unwrap());
    let over = end(call.call_id, made.attempt_id, Outcome::Answered);
    assert!(tx.end_attempt(&tenant(), &over).await.unwrap());
    let told = tx
        .instruction_followed(&tenant(), open.instruction_id)
        .await
        .unwrap();
    assert_eq!(told, Some(Followed::plain(InstructionResult::NotUp)));
    let late = asked(call.call_id, Instruct::Decline { offer: 2 });
    assert!(!tx.insert_instruction(&tenant(), &late, NOON).await.unwrap());
    tx.commit().await.unwrap();
}

/// Of what is open nothing, and of the rest the oldest first.
async fn what_was_answered_long_ago_is_forgotten(store: TestStore) {
    let owner = Incarnation::new(NOON);
    let (call, _) = answered(&store, 1, owner).await;
    let all = [1, 2, 3].map(|offer| asked(call.call_id, Instruct::Decline { offer }));
    let [first, second, open] = [0, 1, 2].map(|place| all[place].instruction_id);
    let mut tx = store.write().await;
    for each in &all {
        assert!(tx.insert_instruction(&tenant(), each, NOON).await.unwrap());
    }
    let followed = Followed {
        sdp: b"v=0 theirs".to_vec(),
        ..Followed::with_code(200)
    };
    for (id, seconds) in [(second, 20), (first, 10)] {
        let at = after(seconds);
        tx.end_instruction(&tenant(), id, &followed, at)
            .await
            .unwrap();
    }
    assert_eq!(tx.forget_instructions(after(10), 10).await.unwrap(), 0);
    assert_eq!(tx.forget_instructions(after(60), 1).await.unwrap(), 1);
    let mut left = async |id| tx.instruction_followed(&tenant(), id).await.unwrap();
    // Who asks once more hears what they would hear of a call that is over.
    let over = Some(Followed::plain(InstructionResult::NotUp));
    assert_eq!(left(first).await, over);
    assert_eq!(left(second).await, Some(followed));
    assert_eq!(left(open).await, None);
    assert_eq!(tx.forget_instructions(after(60), 10).await.unwrap(), 1);
    assert_eq!(tx.forget_instructions(after(60), 10).await.unwrap(), 0);
    let waiting = tx.instructions_for(owner, 0).await.unwrap();
    assert_eq!(waiting.len(), 1);
}
