// Starts the page with the data that lies in it.
import { render } from 'preact';
import type { ReportData } from '../src/data/types.js';
import { App } from './app.js';
import './style/index.css';

const text = document.getElementById('data')?.textContent ?? '';
const root = document.getElementById('app');
if (root) render(<App data={JSON.parse(text) as ReportData} />, root);
