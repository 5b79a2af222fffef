"""From a microfinance MIS to Kiva's Partner API: loan drafts, repayment reports and journals.

Import what you need from the rooms of the package (``settings``, ``periods``, ``mis``,
``partner_api``, ``rules``, ``submission``, ``reporting``); this file imports nothing, so that
``kiva-pipeline --help`` stays fast.
"""
