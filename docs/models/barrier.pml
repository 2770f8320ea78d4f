/* The claim and the opt-out of dialgate, for spin 6.5. What it shows, how to run it, what each step is: README.md.
 *
 * One telephone number; one or two calls to it; two workers; two people who write opt-outs; one lift; a client who hangs up;
 * a sweeper; the database. The names are those of the schema and of the code. Each transition bears the label of its step
 * (claim-1 ...), which the code bears at the place where it is executed.
 *
 * A d_step is one step of one transaction, or one step in the memory of one process. Between any two of them every other process may
 * run for as long as it likes: that is SIGSTOP and SIGCONT, a slow network, a slow disk. FAULT adds kill -9 with a restart, and
 * stopped for ever.
 *
 * Time: one tick makes every running stop-watch one older. A stop-watch is the difference of two readings of one node's own
 * monotonic clock, so offsets between nodes cancel out and time has no end. It stands still where nothing depends on it any
 * more, and with all of them the time does, so that a deadlock is an invalid end state.
 *
 * -DW_... weakens the protocol on purpose; -DCOVER=n makes a situation an error, to show that it is reached.
 */
#ifndef LIFE
#define LIFE 2                   /* Permit::LIFE in ticks, from a reading taken before BEGIN */
#endif
#ifndef MARGIN
#define MARGIN 1                 /* what BARRIER_WAIT adds to it */
#endif
#ifndef FREEZE
#define FREEZE 1                 /* longest stop between the comparison and the system call that is survived: at most MARGIN */
#endif
#define WAIT (LIFE + MARGIN)     /* BARRIER_WAIT, from the return of the opt-out's COMMIT */
#ifndef FAULTS
#define FAULTS 1                 /* kills and endless stops, together */
#endif
#ifndef CALLS
#define CALLS 2
#endif
#define ATTEMPTS 4               /* rows there may be: each call is claimed twice at most */
#define NONE 255

/* calls.queue_state */
#define QUEUED 0
#define LEASED 1
#define CLAIMED 2
#define DONE 3
/* suppressions */
#define ABSENT 0
#define ACTIVE 1
#define LIFTED 2
/* what a claim came to */
#define DENIED 0
#define PERMITTED 1
#define ABORTED 2                /* failed before COMMIT */
#define LOST 3                   /* the call is not this worker's any more */

/* ---- the database ---- */
byte number_lock[2] = NONE;      /* who holds it; [1] is a neighbour in the same batch, with -DBATCH only */
byte suppression[2];
byte queue_state[2];
byte lease_owner[2] = NONE;      /* with lease_epoch: a worker here has one lease at a time */
byte attempt_id[2];              /* calls.attempt_id, the newest */
byte attempts;                   /* rows inserted so far */
byte call_id[ATTEMPTS];
byte permit_open;                /* a bit an attempt */
byte outcomes[ATTEMPTS];         /* times that an outcome was written; must come to exactly 1 */

/* ---- the processes' memories and stop-watches ---- */
bit  permit[2];                  /* the worker holds one */
byte age[2];                     /* ticks since the reading it counts from */
bit  writing[2];                 /* between the comparison and the system call */
byte frozen[2];                  /* ticks there */
bit  waiting[2];                 /* an opt-out after its COMMIT */
byte waited[2];
bit  watching;                   /* the sweeper, an open permit */
byte watched;
byte row[2];                     /* which suppression the opt-out stands on */
byte faults = FAULTS;

/* ---- what somebody outside sees ---- */
bit  acked[2];                   /* the opt-out was answered OK */
bit  dead[2];                    /* its process died and nobody got an answer */
byte dialed[2];                  /* INVITEs of a new Call-ID for a call */
bit  lifted;
#define BARRED ((acked[0] && suppression[row[0]] == ACTIVE) || (acked[1] && suppression[row[1]] == ACTIVE))
#define BIT(k) (1 << (k))
#define CLOSE(k) permit_open = permit_open & ~BIT(k)

#define PERMIT_RUNS(n) (permit[n] && age[n] < LIFE)
#define WAIT_RUNS(i) (waiting[i] && waited[i] < WAIT)
#define FREEZE_RUNS(n) (writing[n] && frozen[n] < FREEZE)
#define MAY_PASS(n) (!writing[n] || frozen[n] < FREEZE)

active proctype Time() {
end:
  do
  :: d_step {
       (PERMIT_RUNS(0) || PERMIT_RUNS(1) || WAIT_RUNS(0) || WAIT_RUNS(1) || (watching && watched < WAIT) ||
        FREEZE_RUNS(0) || FREEZE_RUNS(1)) && MAY_PASS(0) && MAY_PASS(1) ->
         if :: PERMIT_RUNS(0) -> age[0]++ :: else fi; if :: PERMIT_RUNS(1) -> age[1]++ :: else fi;
         if :: WAIT_RUNS(0) -> waited[0]++ :: else fi; if :: WAIT_RUNS(1) -> waited[1]++ :: else fi;
         if :: watching && watched < WAIT -> watched++ :: else fi;
         if :: writing[0] -> frozen[0]++ :: else fi; if :: writing[1] -> frozen[1]++ :: else fi
     }
  od
}

/* idle_in_transaction_session_timeout, lock_timeout, a cut link: the server ends a worker's transaction whenever it likes. */
active proctype Database() {
end:
  do
#ifndef W_NO_TX_TIMEOUT
  :: d_step { number_lock[0] < 2 ->
       if :: number_lock[1] == number_lock[0] -> number_lock[1] = NONE :: else fi; number_lock[0] = NONE }
  :: d_step { number_lock[1] < 2 ->
       if :: number_lock[0] == number_lock[1] -> number_lock[0] = NONE :: else fi; number_lock[1] = NONE }
#endif
  :: false
  od
}

#define UNLOCK(who) if :: number_lock[0] == who -> number_lock[0] = NONE :: else fi; \
                    if :: number_lock[1] == who -> number_lock[1] = NONE :: else fi
#define FORGET(n) permit[n] = 0; age[n] = 0; writing[n] = 0; frozen[n] = 0

/* what the fence asks: the lease is this worker's; or, for a further claim, the call's newest attempt is k and not ended */
#define OURS ((!again && queue_state[c] == LEASED && lease_owner[c] == n) || \
              (again && queue_state[c] == CLAIMED && attempt_id[c] == k && outcomes[k] == 0))

#define FAULT :: d_step { faults > 0 -> faults--; FORGET(n) } -> goto killed \
              :: d_step { faults > 0 -> faults--; FORGET(n) } -> goto end_stopped

proctype Worker(byte n) {
  byte c, k;                     /* call; attempt, NONE before there is one */
  byte claim;
  bit second, again;             /* a second INVITE is due (challenge, retransmission); the call is claimed a second time */

end_idle:
  atomic { FORGET(n); second = 0; again = 0; claim = 0; k = NONE; c = 0 };
end_lease:
  if
  :: d_step { queue_state[0] == QUEUED -> queue_state[0] = LEASED; lease_owner[0] = n; c = 0 }              /* lease-1 */
#if CALLS > 1
  :: d_step { queue_state[1] == QUEUED -> queue_state[1] = LEASED; lease_owner[1] = n; c = 1 }              /* lease-1 */
#endif
  fi;

claims:                          /* a channel and a pace token are in hand */
  if :: d_step { age[n] = 0; permit[n] = 1 }                                                                /* claim-1, claim-2 */
  FAULT fi;
#if defined(BATCH) && defined(W_LOCK_ORDER)
  if :: n == 1 -> if :: d_step { number_lock[1] == NONE -> number_lock[1] = n } FAULT fi :: else fi;
#endif
                                 /* The facts are read by a statement of their own, newer than the lock. At once is the worst case: what
                                    is read later can only deny more. */
  if
  :: d_step {
#ifndef W_NO_LOCK
       number_lock[0] == NONE -> number_lock[0] = n;                                                        /* claim-3 */
#endif
       if
       :: suppression[0] == ACTIVE || suppression[1] == ACTIVE -> claim = DENIED                            /* claim-4 */
#ifndef W_NO_FENCE
       :: else -> if :: OURS -> claim = PERMITTED :: else -> claim = LOST fi
#else
       :: else -> claim = PERMITTED
#endif
       fi
     }
  FAULT fi;
#ifdef BATCH
  if :: d_step { number_lock[1] == NONE || number_lock[1] == n -> number_lock[1] = n } FAULT fi;            /* claim-3 */
#endif
  atomic {
  if
  :: d_step {
       if
#ifndef W_NO_LOCK
       :: number_lock[0] != n -> claim = ABORTED
#endif
#ifdef BATCH
       :: number_lock[1] != n -> claim = ABORTED
#endif
#if !defined(W_FENCE_READ) && !defined(W_NO_FENCE)
       :: claim == PERMITTED && !OURS -> claim = LOST                                                       /* claim-5: what decides is the UPDATE */
#endif
       :: else -> skip
       fi;
       if
       :: claim == PERMITTED && attempts < ATTEMPTS ->
            if
            :: again -> outcomes[k]++; assert(outcomes[k] <= 1); CLOSE(k)                                   /* claim-5: the old attempt is superseded */
            :: else
            fi;
            k = attempts; attempts++; call_id[k] = c; attempt_id[c] = k;                                    /* claim-6 */
            permit_open = permit_open | BIT(k); queue_state[c] = CLAIMED; lease_owner[c] = NONE
       :: claim == PERMITTED && attempts == ATTEMPTS -> claim = DENIED
       :: claim == DENIED && !again && OURS -> queue_state[c] = DONE; lease_owner[c] = NONE                 /* claim-5: a denial ends the call */
       :: else -> skip
       fi;
       UNLOCK(n)
     }
  FAULT fi;
  if
  :: claim == PERMITTED -> claim = 0                                                                        /* claim-6: COMMIT was answered */
  :: claim == PERMITTED -> claim = 0; goto unanswered                                                       /* claim-7: it was not */
#ifdef W_UNANSWERED
  :: claim == ABORTED -> claim = 0; if :: !again -> k = ATTEMPTS - 1 :: else fi
#else
  :: claim == ABORTED -> claim = 0; goto claims                                                             /* claim-7: one by one, each with a new reading */
  :: claim == ABORTED && !again -> claim = 0; goto unanswered
  :: claim == ABORTED && again -> claim = 0; goto give_up
#endif
  :: (claim == DENIED || claim == LOST) && !again -> goto end_idle
  :: (claim == DENIED || claim == LOST) && again -> goto give_up     /* the first attempt ends the call */
  fi };
#ifdef W_LATE_READING
  if :: d_step { age[n] = 0 } FAULT fi;
#endif

write:
  if
#if defined(W_NO_CHECK)
  :: d_step { writing[n] = 1; frozen[n] = 0 }
#elif defined(W_FIRST_CHECKED)
  :: d_step { age[n] < LIFE || second -> writing[n] = 1; frozen[n] = 0 }
#else
  :: d_step { age[n] < LIFE -> writing[n] = 1; frozen[n] = 0 }                                              /* claim-8: compared */
#endif
  :: age[n] >= LIFE -> goto give_up                                                                         /* claim-8: refused */
  :: age[n] >= LIFE && second && !again -> goto claims_again        /* a challenge must be answered: the gate is asked anew */
  :: goto give_up                                                                                           /* claim-12 */
  FAULT fi;
  if
  :: d_step {                                                                                               /* claim-8: sent */
       assert(k < attempts && call_id[k] == c);                      /* (6) */
       assert(!BARRED);                                              /* (1) */
       if :: !second && !again -> dialed[c]++ :: else fi;
       assert(dialed[c] <= 1);                                       /* (3) */
       writing[n] = 0; frozen[n] = 0                                                                        /* claim-9: a longer stop is noticed */
#if COVER == 1
       assert(!(lifted && (acked[0] || acked[1])));                  /* an INVITE after an opt-out and its lift */
#elif COVER == 2
       assert(!(suppression[0] == ACTIVE && !acked[0] && second));   /* a second INVITE while an opt-out waits */
#elif COVER == 3
       assert(!again);                                               /* a call claimed a second time */
#endif
     }
  FAULT fi;
#ifdef W_SENT_CLOSES
  if :: d_step { CLOSE(k) } FAULT fi;
#endif
  if
  :: !second -> second = 1; goto write                               /* 401, 407, or time to retransmit */
  :: goto give_up                                                    /* 18x, a final response, CANCEL, the deadline */
  FAULT fi;

claims_again:                    /* the call stays CLAIMED, so that nobody can lease it */
#ifdef W_REQUEUE_ANEW
  if
  :: d_step {
       if :: OURS || (queue_state[c] == CLAIMED && outcomes[k] == 0) ->
               outcomes[k]++; queue_state[c] = LEASED; lease_owner[c] = n
          :: else fi;
       CLOSE(k)
     }
  FAULT fi;
#else
  again = 1;
#endif
  goto claims;

give_up:                         /* why is left open: an opt-out that was noticed, a ring, an answer, a hang-up, an expired permit */
  atomic { FORGET(n) };                                                                                     /* claim-10: in memory first */
  if
  :: d_step { CLOSE(k) }                                                                                    /* claim-10: then on record */
  :: skip                        /* the event was left out, or the outcome comes at once */
  FAULT fi;
  if
  :: d_step {                                                                                               /* claim-11 */
#ifdef W_OVERWRITE
       outcomes[k]++;
#else
       if :: outcomes[k] == 0 -> outcomes[k]++ :: else fi;
#endif
       assert(outcomes[k] <= 1);                                     /* (2) */
       CLOSE(k);
       if :: queue_state[c] == CLAIMED && attempt_id[c] == k -> queue_state[c] = DONE :: else fi
     }
  FAULT fi;
  goto end_idle;

unanswered:                      /* the permit is gone; the attempt, if there is one, is left to sweep-1 */
  atomic { FORGET(n) };
  if
  :: d_step {                                                                                               /* lease-2 */
       if :: !again && queue_state[c] == LEASED && lease_owner[c] == n -> queue_state[c] = QUEUED; lease_owner[c] = NONE
          :: else fi
     }
  FAULT fi;
  goto end_idle;

killed:                          /* memory gone, the server rolls back, the process starts again */
  atomic { FORGET(n); UNLOCK(n) };
  goto end_idle;

end_stopped:                     /* for ever: what it holds in the database it keeps until the server takes it */
  false
}

#define DIES :: d_step { faults > 0 -> faults--; dead[i] = 1; waiting[i] = 0; waited[i] = 0; seen = 0; \
                         if :: number_lock[x] == 10 + i -> number_lock[x] = NONE :: else fi } -> goto done

proctype OptOut(byte i) {
  byte seen;                     /* permits that were open, a bit an attempt */
  bit locked;
  byte x = 0;
#ifdef BATCH
  x = i;                         /* the second opt-out is about the neighbour */
#endif
#ifdef W_WAIT_FROM_START
  d_step { waited[i] = 0; waiting[i] = 1 };
#endif
  if
  :: d_step { row[i] = i }                                                                                  /* opt-out-1: seen by nobody yet */
#ifndef BATCH
  :: d_step { suppression[1 - i] == ACTIVE -> row[i] = 1 - i }                                              /* opt-out-6: it is there already */
#endif
  DIES fi;
  if
  :: d_step { number_lock[x] == NONE -> number_lock[x] = 10 + i; locked = 1 }                               /* opt-out-2 */
#ifndef LOCK_FIRST
  :: locked = 0                                                                                             /* opt-out-2: not had in time; opt-out-7: not tried */
#endif
  DIES fi;
#ifdef LOCK_FIRST
  d_step { waited[i] = 0; waiting[i] = 1 };
#endif
                                 /* opt-out-3 only hastens what `give_up` may do at any time, so it needs no state */
  if :: d_step { locked && x == 0 -> seen = permit_open }                                                   /* opt-out-4 */
     :: !locked || x != 0
     DIES fi;
  if :: d_step {                                                                                            /* opt-out-4: COMMIT */
          if :: x == 0 && row[i] == i -> suppression[i] = ACTIVE :: else fi;
          if :: number_lock[x] == 10 + i -> number_lock[x] = NONE :: else fi
        }
     DIES fi;
#if !defined(W_WAIT_FROM_START) && !defined(LOCK_FIRST)
  if :: d_step { waited[i] = 0; waiting[i] = 1 } DIES fi;                                                   /* opt-out-4: it returned; the clock is read */
#endif
  if
  :: waited[i] >= WAIT                                                                                      /* opt-out-5 */
  :: locked && (permit_open & seen) == 0                                                                    /* opt-out-5 */
#ifdef W_NO_LOCK_EARLY
  :: !locked && permit_open == 0
#endif
#ifdef W_ACK_AT_COMMIT
  :: true
#endif
#ifdef W_DUPLICATE_OK
  :: row[i] != i
#endif
#ifdef W_FOREIGN_CLOCK           /* the deadline in the row, compared with the opt-out's clock, which is one tick ahead */
  :: locked && (!(permit_open & 1) || age[0] + 1 >= LIFE) && (!(permit_open & 2) || age[1] + 1 >= LIFE) && permit_open < 4
#endif
  DIES fi;
#if COVER == 4
  assert(!(locked && seen != 0 && waited[i] < WAIT));                /* answered early: the owner closed its permit */
#elif COVER == 5
  assert(waited[i] < WAIT);                                          /* answered by time */
#elif COVER == 6
  assert(row[i] == i);                                               /* answered for a number opted out before */
#endif
  d_step { acked[i] = 1; waiting[i] = 0; waited[i] = 0; seen = 0; locked = 0 };
done:
  skip
}

proctype Lift() {
end:
  atomic { suppression[0] == ACTIVE || suppression[1] == ACTIVE ->                                          /* opt-out-8: the rows it sees, not later ones */
    if :: suppression[0] == ACTIVE -> suppression[0] = LIFTED :: else fi;
    if :: suppression[1] == ACTIVE -> suppression[1] = LIFTED :: else fi;
    lifted = 1 }
}

proctype Client() {
end:
  atomic { queue_state[0] == QUEUED || queue_state[0] == LEASED -> queue_state[0] = DONE; lease_owner[0] = NONE }   /* lease-3 */
}

/* Ends attempts of owners that it takes for dead. It may be wrong at any time: a heartbeat proves nothing. */
#ifdef W_OVERWRITE
#define UNENDED(k) (attempts > k && outcomes[k] < 2)
#else
#define UNENDED(k) (attempts > k && outcomes[k] == 0)
#endif
#ifdef W_REDIAL
#define AFTERWARDS QUEUED
#else
#define AFTERWARDS DONE
#endif
#ifdef W_OUTCOME_CLOSES
#define ALSO(k) CLOSE(k);
#else
#define ALSO(k)
#endif
#define END(k) UNENDED(k) -> outcomes[k]++; ALSO(k) assert(outcomes[k] <= 1); \
               if :: queue_state[call_id[k]] == CLAIMED && attempt_id[call_id[k]] == k -> queue_state[call_id[k]] = AFTERWARDS :: else fi
#define REQUEUE(c) queue_state[c] == LEASED -> queue_state[c] = QUEUED; lease_owner[c] = NONE

proctype Sweeper() {
  byte k;
end:
  do
  :: d_step { END(0) }                                                                                      /* sweep-1 */
  :: d_step { END(1) }
  :: d_step { END(2) }
  :: d_step { END(3) }
  :: d_step { REQUEUE(0) }                                                                                  /* sweep-3 */
#if CALLS > 1
  :: d_step { REQUEUE(1) }
#endif
#ifdef W_WATCH_EARLY             /* the clock is read before the row is */
  :: d_step { watched = 0; watching = 1 } ->
     if
     :: d_step { permit_open & 1 -> k = 0 } -> goto watches
     :: d_step { permit_open & 2 -> k = 1 } -> goto watches
     :: permit_open == 0 -> watching = 0; watched = 0
     fi
#else
  :: d_step { permit_open & 1 -> k = 0; watched = 0; watching = 1 } -> goto watches                         /* sweep-2: seen open */
  :: d_step { permit_open & 2 -> k = 1; watched = 0; watching = 1 } -> goto watches
  :: d_step { permit_open & 4 -> k = 2; watched = 0; watching = 1 } -> goto watches
  :: d_step { permit_open & 8 -> k = 3; watched = 0; watching = 1 } -> goto watches
#endif
  od;
watches:
  atomic { watched >= WAIT || !(permit_open & BIT(k)) -> CLOSE(k); k = 0; watched = 0; watching = 0 };      /* sweep-2: closed */
  goto end
}

init {
  atomic {
    row[1] = 1;
    run Worker(0);
#ifndef ONE_WORKER
    run Worker(1);
#endif
    run OptOut(0);
#ifdef ONE_OPTOUT
    dead[1] = 1;
#else
    run OptOut(1);
#endif
#ifndef NO_LIFT
    run Lift();
#endif
    run Client();
    run Sweeper()
  }
}

/* (4) every opt-out is answered unless its process died; (2), the other half: what was claimed does end */
ltl answered { [](<>(acked[0] || dead[0]) && <>(acked[1] || dead[1])) }
ltl ended { []((attempts > 0) -> <>(outcomes[0] == 1)) }
