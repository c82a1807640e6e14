// Colours and type of the concept picture. It has a background of its own, so it can be read on any page; where the
// reader's system is dark, so is the picture.

export const style = `
svg{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Noto Sans CJK SC","PingFang SC","Microsoft YaHei","DejaVu Sans",sans-serif;font-size:14px}
text{fill:#1f2937}
.page{fill:#ffffff;stroke:#d8dee6}
.top{font-size:20px;font-weight:600}
.heading{font-size:15px;fill:#4b5563}
.title{font-size:17px;font-weight:600;fill:#1f2937}
.name{font-size:15px;font-weight:600}
.plain{font-size:12.5px;font-weight:400;fill:#4b5563}
.size{font-size:13px;fill:#4b5563;font-variant-numeric:tabular-nums}
.row{text-anchor:end;font-size:13px;fill:#4b5563}
.mark,.row.mark{font-size:13px;font-weight:600;fill:#b45309}
.middle{text-anchor:middle}
.times{font-size:17px}
.stay{fill:#4f86d9}
.go{fill:#e3e6ea}
.k{fill:#f59e0b}
.step{fill:#ffffff;stroke:#6b7280;stroke-width:1.3}
.way,.flow,.rule{fill:none}
.way{stroke:#4f86d9;stroke-width:2}
.way-k{stroke:#f59e0b;stroke-width:2.5}
.flow{stroke:#9aa3af;stroke-width:1.3}
.rule{stroke:#d8dee6}
.tip{fill:#4f86d9}.tip-k{fill:#f59e0b}.tip-flow{fill:#9aa3af}
@media (prefers-color-scheme:dark){
text,.title{fill:#e6edf3}
.page{fill:#0d1117;stroke:#30363d}
.heading,.plain,.size,.row{fill:#a3adb8}
.mark,.row.mark{fill:#fbbf24}
.stay{fill:#5b93e6}
.go{fill:#2b313a}
.step{fill:#0d1117;stroke:#8b949e}
.way{stroke:#5b93e6}.way-k{stroke:#f59e0b}
.flow{stroke:#6b7480}
.rule{stroke:#30363d}
.tip{fill:#5b93e6}.tip-flow{fill:#6b7480}
}
`;
