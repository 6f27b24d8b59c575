"""A full outer join of a statement and payments in DuckDB, on two threads, with every column read as text: python3 - STATEMENT PAYMENTS.

Nothing is hashed and nothing is verified. What is timed is the query alone, without starting Python or loading the package.
"""

import json
import sys
import time

import duckdb

statement, payments = sys.argv[1:3]
connection = duckdb.connect()
connection.execute("SET threads = 2")
connection.execute("SET enable_progress_bar = false")
# The summary at the end of the statement has fewer columns: it is passed over.
query = """
WITH theirs AS (
    SELECT trim("微信订单号", '`') AS transaction, trim("商户订单号", '`') AS number, trim("交易状态", '`') AS status,
           trim("商户退款单号", '`') AS refund, trim("订单金额", '`') AS amount, trim("申请退款金额", '`') AS back
    FROM read_csv(?, header = true, delim = ',', quote = '', escape = '', all_varchar = true, ignore_errors = true)
), ours AS (
    SELECT channel_transaction AS transaction, attempt AS number, kind, status, refund_id AS refund, amount
    FROM read_csv(?, header = true, delim = ',', quote = '', escape = '', all_varchar = true)
)
SELECT count(*) FILTER (ours.transaction IS NOT NULL AND theirs.transaction IS NOT NULL) AS joined,
       count(*) FILTER (ours.transaction IS NULL) AS surplus,
       count(*) FILTER (theirs.transaction IS NULL) AS shortage,
       count(*) FILTER (CASE kind WHEN 'refund' THEN ours.amount <> back ELSE ours.amount <> theirs.amount END) AS amount_differs
FROM theirs FULL OUTER JOIN ours ON theirs.transaction = ours.transaction
"""
begun = time.perf_counter()
joined, surplus, shortage, amount_differs = connection.execute(query, [statement, payments]).fetchone()
seconds = time.perf_counter() - begun
print(json.dumps({
    "seconds": round(seconds, 4),
    "joined": joined,
    "surplus": surplus,
    "shortage": shortage,
    "amount_differs": amount_differs,
    "version": duckdb.__version__,
}))
