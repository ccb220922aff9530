-- When a label request was last read: nothing is created at Amazon on the word of a reading of long ago.

ALTER TABLE label_requests ADD COLUMN read_at REAL;

UPDATE label_requests SET read_at = (SELECT changed_at FROM returns WHERE returns.id = label_requests.return_ref)
WHERE asked = 'open';
