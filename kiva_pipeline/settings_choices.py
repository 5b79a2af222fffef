"""The keys of a settings file that a partner must choose on purpose, and how to choose.

What must not break: none of them ever gets a default, because a wrong one inverts or misplaces
every figure, or sends what must not leave.
"""

WHY_NO_DEFAULT = {
    "repayments.amount": "getting it wrong inverts every figure, so you must choose:"
    " principal_repaid or principal_outstanding, as your PA2 training set it up",
    "repayments.column_format": "look it up in PA2 › Account › Profile › CSV upload format:"
    " two_column or three_column",
    "journals.mark": "say how your MIS marks a note for Kiva's lenders, so that staff remarks"
    " never leave: {kind: column | prefix | type, value: …}",
    "environment": "write sandbox, staging or production on purpose",
}
WHY_NO_DEFAULT["repayments"] = (
    "it needs amount and column_format: " + WHY_NO_DEFAULT["repayments.amount"]
)
WHY_NO_DEFAULT["journals"] = "it needs mark: " + WHY_NO_DEFAULT["journals.mark"]
