"""The arena's pages over HTTP: what raters see, and one page for whoever runs the study.

`settings` what is chosen at the start, `sealed` signed cookies, form tokens and clip names, `guard` what every request
passes, `bodies` what requests may carry, `limits` how many there may be, `media` clips by range, `steps` the rater's
way through the study, `admin` the page of whoever runs it, `app` all of it, `server` the process.
"""
