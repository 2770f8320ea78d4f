-- How strongly the INVITE of an attempt vouches for the number shown (STIR/SHAKEN); a call shows its latest attempt's.
ALTER TABLE attempts ADD COLUMN attestation TEXT CHECK (attestation IN ('A', 'B', 'C'));
ALTER TABLE calls ADD COLUMN attestation TEXT CHECK (attestation IN ('A', 'B', 'C'));
